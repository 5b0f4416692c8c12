"""The command line. Data goes to stdout, progress and errors to stderr.

Commands import what they need when they run, so that ``--help`` is instant.
"""

from __future__ import annotations

import os
import sys

from search.cli.exit_codes import EXIT_BUSY, EXIT_INPUT, EXIT_INTERRUPTED


def main() -> None:
    """Run the program ``seqnorm``."""
    try:
        import typer  # noqa: F401
    except ModuleNotFoundError:
        sys.exit("error: the seqnorm command needs more than the layers. Install it with: pip install 'seqnorm[all]'")
    from search.cli.streams import run_program

    sys.exit(run_program(_run))


def _run() -> None:
    from search.cli.advice import localize
    from search.cli.app import app, program
    from search.engine.logs import log_error
    from search.vocabulary.errors import Conflict, SearchError

    try:
        os.getcwd()
    except OSError as error:
        log_error(f"the current folder must exist: got {error.strerror}. Change to another, e.g. with: cd")
        sys.exit(EXIT_INPUT)
    try:
        app()
    except SearchError as error:
        log_error(localize(str(error), program()))
        sys.exit(EXIT_BUSY if isinstance(error, Conflict) else EXIT_INPUT)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if "sqlalchemy" in sys.modules:
            from search.store.faults import database_message

            if fault := database_message(error):
                log_error(fault)
                sys.exit(EXIT_INPUT)
        raise
