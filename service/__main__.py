"""``python -m service`` serves until Ctrl-C, SIGTERM or SIGHUP. ``seqnorm serve`` runs it."""

from __future__ import annotations

import sys

from search.cli.interruption import StopSignals


def main() -> int:
    """Run the service; return its exit code."""
    with StopSignals() as signals:
        try:
            from service.server import serve  # slow, and a signal may come meanwhile

            return serve(signals)
        except KeyboardInterrupt:  # while it started, when there is nothing to stop yet
            return 0


if __name__ == "__main__":
    sys.exit(main())
