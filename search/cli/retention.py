"""``gc-files``: lists or removes files that are no longer needed."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.progress import track

from search.actions.retention import UnneededFiles, find_unneeded_files
from search.cli.exit_codes import EXIT_FAILED
from search.cli.output import TextConsole, print_json, print_stderr
from search.settings import Settings
from search.store.opening import open_store
from search.vocabulary.formatting import show_controls


def gc_files(settings: Settings, days: float, unknown: bool, yes: bool, json: bool) -> None:
    """List unneeded files, or remove them.

    Raises:
        Exit: with 1 if something could not be removed.
    """
    engine = open_store(settings.database_url)
    console = TextConsole(stderr=True)
    found: list[UnneededFiles] = []
    faults: list[str] = []
    unneeded = find_unneeded_files(settings, engine, days, unknown)
    for files in track(unneeded, "looking", console=console, transient=True, disable=not console.is_terminal):
        try:
            if yes:
                files.remove()
            found.append(files)
        except OSError as error:
            faults.append(f"{files.search_id}: {error.filename} could not be removed ({error.strerror})")
    engine.dispose()
    _print(found, faults, yes, json)
    if faults:
        raise typer.Exit(EXIT_FAILED)


def _print(found: list[UnneededFiles], faults: list[str], removed: bool, json: bool) -> None:
    if json:
        parts = [{**asdict(files), "paths": [str(path) for path in files.paths]} for files in found]
        total = sum(each.bytes for each in found)
        print_json({"removed": removed, "bytes": total, "searches": parts, "faults": faults})
    else:
        for files in found:
            print(show_controls(f"{files.search_id}  {_megabytes(files.bytes):>10}  {files.why}"))
        print_stderr(_summary(found, removed))
    for fault in faults:
        print_stderr(f"error: {fault}. Give this user the right to, or remove it as its owner.")


def _summary(found: list[UnneededFiles], removed: bool) -> str:
    if not found:
        return "Nothing was removed." if removed else "Nothing to remove."
    what = f"{_megabytes(sum(each.bytes for each in found))} of {len(found)} searches"
    return f"{what} removed." if removed else f"{what} can be removed; nothing was removed yet. Remove it with --yes."


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
