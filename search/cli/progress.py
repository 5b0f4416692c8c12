"""Live progress of a running search: an updating line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.cli.output import TextConsole
from search.store import queries
from search.store.database import Engine
from search.views import SearchRow, SearchView, TrialRow
from search.vocabulary.formatting import format_duration, format_epochs, format_mean
from search.vocabulary.states import TrialState

READ_SECONDS = 0.5  # between reads of the database
LINE_SECONDS = 5.0  # between plain lines, at least
CAUSE_LINES = 12  # of the first failed trial


class Progress:
    """Shows the stage, trials done, running and left, the best candidate and the time left, on stderr."""

    def __init__(self, program: str = "seqnorm") -> None:
        self._program = program
        self._printed_failure = False
        self._console = TextConsole(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._read_at = self._written_at = 0.0
        self._last_line = ""
        self._printed_stages: set[str] = set()
        self._started = time.monotonic()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def read(self, engine: Engine, search_id: str) -> None:
        """Read the database and update the display, at most every ``READ_SECONDS``."""
        if time.monotonic() - self._read_at < READ_SECONDS:
            return
        self._read_at = time.monotonic()
        with engine.connect() as connection:
            shown = queries.show_search(connection, search_id)
            self.update(shown, lambda: queries.list_trials(connection, search_id, state=TrialState.FAIL))

    def update(self, shown: SearchView, list_failed: Callable[[], Iterable[TrialRow]] = tuple) -> None:
        """Show the progress of a search; ``list_failed`` returns its first failed trials, called once there is one."""
        moment = time.monotonic()
        self._print_decisions(shown)
        if shown.trials.failed and not self._printed_failure:
            self._print_failure(shown.search, list_failed())
        if self._console.is_terminal:
            self._live.update(self._render(shown))
        elif moment - self._written_at >= LINE_SECONDS and (line := describe(shown)) != self._last_line:
            self._written_at, self._last_line = moment, line
            self._console.print(line, soft_wrap=True)

    def _print_decisions(self, shown: SearchView) -> None:
        """Print each stage's choice once, above the updating line."""
        for stage in shown.stages:
            if stage.sentence and stage.name not in self._printed_stages:
                self._printed_stages.add(stage.name)
                sentence = f"stage {stage.name}: {stage.sentence}"
                self._console.print(sentence, soft_wrap=True)

    def _print_failure(self, search_id: str, rows: Iterable[TrialRow]) -> None:
        """Print why the first trial failed: others often fail alike, and a person can stop the search."""
        for row in rows:
            if row.cause and not row.cause.runs_again:
                self._printed_failure = True
                trial = f"{row.stage}/{row.number}"
                self._console.print(f"Trial {trial} ({row.point}, seed={row.seed}) failed: {row.cause}", soft_wrap=True)
                for line in row.detail.strip().splitlines()[-CAUSE_LINES:]:
                    self._console.print(f"  {line}", soft_wrap=True)
                self._console.print(f"Read its log with: {self._program} logs {search_id} {trial}", soft_wrap=True)
                return

    def _render(self, shown: SearchView) -> Table:
        progress = shown.progress
        picture = Table.grid(padding=(0, 1))
        done = progress.finished + (progress.epochs.done if progress.epochs else 0.0)
        bar = ProgressBar(total=max(1, progress.planned), completed=done, width=30)
        picture.add_row(bar, Text(describe(shown)))
        if not progress.slots:
            waited = time.monotonic() - self._started
            picture.add_row(Text(""), Text(f"starting Ray and loading the data … {waited:.0f} s", style="dim"))
        return picture


def describe(shown: SearchView) -> str:
    """Describe the progress of a search in one line."""
    progress, running = shown.progress, shown.trials.running
    left = progress.planned - progress.finished - running
    parts = [
        f"stage {progress.stage or 'done'}",
        f"{progress.finished}/{progress.planned} trials done, {running} running, {max(0, left)} left",
    ]
    if progress.epochs and running:
        parts.append(format_epochs(progress.epochs))
    if shown.trials.failed:
        parts.append(f"{shown.trials.failed} failed")
    if best := best_so_far(shown):
        parts.append(best)
    if progress.seconds_left is not None:
        parts.append(f"{format_duration(progress.seconds_left)} left")
    return " · ".join(parts)


def describe_row(row: SearchRow) -> str:
    """Describe the progress of a search in a list: trials, epochs of those that run, and the time left."""
    parts = [f"{row.finished}/{row.planned}"]
    if row.epochs:
        parts.append(format_epochs(row.epochs))
    if row.seconds_left is not None:
        parts.append(f"{format_duration(row.seconds_left)} left")
    return ", ".join(parts)


def best_so_far(shown: SearchView) -> str | None:
    """Describe the candidate of the tuning stages with the best mean; None if there is none yet."""
    measured = [(row.mean, row) for stage in shown.stages for row in stage.candidates if row.mean is not None]
    if not measured:
        return None
    pick, word = (max, "highest") if shown.mode == "max" else (min, "lowest")
    _, best = pick(measured, key=lambda pair: pair[0])
    return f"{word} mean so far {format_mean(best)} at {best.point}"
