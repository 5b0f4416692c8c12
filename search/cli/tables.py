"""Prints a search as tables, or as one JSON object."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from search.cli.output import TextConsole, least_width, print_view
from search.engine.checkpoints import chosen_checkpoint, chosen_folders
from search.plan.commit import NO_REPOSITORY, UNKNOWN
from search.plan.naming import list_columns
from search.settings import Settings
from search.views import CommandView, MeasuredView, ResultView, SearchView, StageView
from search.vocabulary.formatting import format_figure, format_mean_std, format_metric, format_trials
from search.vocabulary.norms import Norm


def print_result(shown: SearchView, json: bool, settings: Settings, program: str) -> None:
    """Print each stage's candidates, the choice with its reason, the test table, and next steps."""
    if json:
        print_view(ResultView.from_search(shown))
        return
    console = TextConsole()
    console.print(f"Search {shown.search} · {shown.recipe} · {shown.strategy} · {shown.status}", style="bold")
    if shown.provenance and shown.provenance.data:
        console.print(f"Data: {shown.provenance.data}", soft_wrap=True)
    if shown.command and shown.is_bound:
        print_command(console, shown.command)
    for before, stage in zip((None, *shown.stages), shown.stages, strict=False):
        if stage.candidates:
            _print_table(console, _stage_table(stage, before), "why")
            console.print(
                stage.sentence or ("Not decided." if shown.status.ended else "Not decided yet."), soft_wrap=True
            )
            console.print()
    if shown.test:
        _print_table(console, _test_table(shown.test, shown.test_note), "what")
        for row in shown.test:
            for gain in row.gains:
                console.print(f"{', '.join(row.labels)}: {gain.sentence}.", soft_wrap=True)
        for note in filter(None, (shown.test_numbers_note, shown.test_note)):
            console.print(note, soft_wrap=True)
    trials = shown.trials
    were = "was" if trials.interrupted == 1 else "were"
    cut = f" ({trials.interrupted} more {were} interrupted)" if trials.interrupted else ""
    reused = f", {trials.reused} reused" if trials.reused else ""
    ended = format_trials(trials.run - trials.interrupted)
    console.print(f"{ended}{reused}, {trials.failed} failed{cut}.", soft_wrap=True)
    if settings.url:
        console.print(f"Open it in a browser: {settings.url}/searches/{shown.search}", soft_wrap=True)
        return
    folder = settings.search_folder(shown.search)
    if shown.command:
        for written in chosen_folders(folder, shown.chosen)[:1]:
            console.print(f"Folder of the chosen point: {written}", soft_wrap=True)
    elif weights := chosen_checkpoint(folder, shown.chosen):
        console.print(f"Weights of the chosen point: {weights.parent}", soft_wrap=True)
    console.print(f"Database: {settings.database_url}", soft_wrap=True)
    console.print(f"Open the dashboard with: {program} serve", soft_wrap=True)


def print_command(console: TextConsole, command: CommandView) -> None:
    """Print a program, where it runs, and whose it is."""
    console.print(f"Command: {command.line}", soft_wrap=True)
    commit = f" · commit {command.commit}" if command.commit not in (NO_REPOSITORY, UNKNOWN) else ""
    console.print(f"Folder: {command.folder} · {command.user} on {command.host}{commit}", soft_wrap=True)


def _stage_table(stage: StageView, before: StageView | None) -> Table:
    tolerance = f" · tolerance {format_figure(stage.tolerance)}" if stage.tolerance is not None else ""
    table = _table(f"Stage {stage.name} · {stage.rule}{tolerance}")
    rows = [*stage.candidates]
    further = list_columns(row.variant for row in rows)
    for column in ("", "gm", "gc", *further, "mean ± std", "std err", "n", "failed", "why"):
        table.add_column(column, justify="left" if column in ("", "why") else "right")
    if stage.reference and before:
        rows.insert(0, stage.reference.model_copy(update={"why": f"for comparison: the winner of stage {before.name}"}))
    for row in rows:
        cells = (
            "→" if row.chosen else "",
            str(row.gm),
            str(row.gc),
            *(str(row.point.read(column)) for column in further),
            format_mean_std(row),
            format_metric(row.sem),
            str(row.n),
            str(row.failed),
            row.why or "",
        )
        table.add_row(*cells, style="bold green" if row.chosen else None)
    return table


def _test_table(rows: Iterable[MeasuredView], note: str) -> Table:
    table = _table("Fresh seeds" if note else "Test set · fresh seeds")
    rows = [*rows]
    further = list_columns(row.variant for row in rows)
    for column in ("what", "gm", "gc", *further, "mean ± std", "std err", "n", "failed"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        groups = ("–", "–") if row.point.norm == Norm.NONE else (str(row.gm), str(row.gc))
        figures = (format_mean_std(row), format_metric(row.sem), str(row.n), str(row.failed))
        values = (str(row.point.read(column)) for column in further)
        table.add_row(", ".join(row.labels), *groups, *values, *figures)
    return table


def _print_table(console: TextConsole, table: Table, wrapped: str) -> None:
    """Print a table as wide as the terminal, or wider: numbers are never cut."""
    TextConsole(width=max(console.width, least_width(table, wrapped))).print(table)


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None, padding=(0, 2, 0, 0)
    )
