"""Tries a command out, as ``seqnorm recipes check`` does: short trials of one point that show what works."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainers.commands import program
from trainers.commands.run import CommandTrial, Source
from trainers.recipe import Recipe
from trainers.trial import InvalidPoint, Params, ProgramFailed

STOP_AFTER_SECONDS = 5.0  # of a program that reports nothing
MAX_FILES = 20_000  # of the program's folder that are compared
SHOWN_FILES = 10
IGNORED = frozenset({"__pycache__", ".git"})


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was tried."""

    name: str
    passed: bool
    sentence: str  #: what was seen, and what to change where it matters


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found out about a command. Each part has a sentence in ``checks``."""

    checks: tuple[Check, ...]
    reports: int  #: epochs seen in a trial
    values: tuple[float, ...]  #: the metric in each trial that ran to its end, all of the same seed
    source: Source | None  #: where the metric was found
    stop_seconds: float | None  #: from the request to stop to the end; None if it ended before
    outside: tuple[str, ...]  #: files in its working folder that it wrote
    exit_codes: tuple[int | None, ...]  #: of the trials that ran to their end; None after a signal
    left: int  #: processes that it left behind

    @property
    def passed(self) -> bool:
        """Whether everything works."""
        return all(check.passed for check in self.checks)


class _Stop(Exception):
    """Asks the program to stop, as pausing a search does."""


@dataclass
class _Attempt:
    """One trial of a command that is tried out."""

    trial: CommandTrial
    epochs: list[int] = field(default_factory=list)
    value: float | None = None
    problem: str | None = None


def try_out(
    recipe: Recipe,
    gm: int,
    gc: int,
    seed: int,
    folder: Path,
    numbers: Mapping[str, object],
    say: Callable[[str], None],
) -> Findings:
    """Run a command twice with the same seed, and once more to stop it.

    Args:
        recipe: of the command.
        gm: of the point.
        gc: of the point.
        seed: of all trials.
        folder: for the folders and logs of the trials; theirs after that, too.
        numbers: overrides that make the trials short.
        say: receives what is being done.

    Raises:
        RecipeError: if the recipe has no such numbers.
    """
    assert recipe.command
    params = Params(
        gm=gm, gc=gc, seed=seed, numbers=recipe.with_overrides(numbers), recipe=recipe.name, command=recipe.command
    )
    work = Path(recipe.command.folder)
    before = _listing(work, folder)
    say(f"trains gm={gm}, gc={gc}, seed={seed}")
    attempts = [_run_to_end(params, folder / "first")]
    stop_seconds = None
    if attempts[0].problem is None:
        say("trains the same once more")
        attempts.append(_run_to_end(params, folder / "second"))
        say("trains once more, and asks it to stop")
        stop_seconds = _stop(params, folder / "stopped")
    outside = _changed(before, _listing(work, folder))
    endings = [attempt.trial.ending for attempt in attempts if attempt.trial.ending]
    values = tuple(attempt.value for attempt in attempts if attempt.value is not None)
    left = max((ending.left for ending in endings), default=0)
    checks = [_check_end(attempts, params)]
    if attempts[0].problem is None:
        checks += [_check_reports(attempts[0]), _check_repeats(values), _check_stop(stop_seconds)]
        checks += [_check_left(left)]
    checks.append(_check_outside(outside, work))
    return Findings(
        checks=tuple(checks),
        reports=len(attempts[0].epochs),
        values=values,
        source=attempts[0].trial.source if values else None,
        stop_seconds=stop_seconds,
        outside=outside or (),
        exit_codes=tuple(ending.exit_code for ending in endings),
        left=left,
    )


def _run_to_end(params: Params, folder: Path) -> _Attempt:
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".log").open("wb", buffering=0) as log:
        attempt = _Attempt(CommandTrial(params, folder.absolute(), log.fileno()))
        try:
            attempt.trial.follow(lambda *, epoch, **metrics: attempt.epochs.append(epoch))
            attempt.value = attempt.trial.value()
        except (ProgramFailed, InvalidPoint) as error:
            attempt.problem = str(error)
    return attempt


def _stop(params: Params, folder: Path) -> float | None:
    """Stop a program after its first report, or after a while; return the seconds that it took, or None."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.monotonic())
        raise _Stop

    def poll() -> None:
        if trial.reports.count or trial.output.value is not None or time.monotonic() - began > STOP_AFTER_SECONDS:
            ask()

    with folder.with_suffix(".log").open("wb", buffering=0) as log:
        trial = CommandTrial(dataclasses.replace(params, poll=poll), folder.absolute(), log.fileno())
        with contextlib.suppress(_Stop, ProgramFailed):
            trial.follow(lambda *, epoch, **metrics: None if trial.ending else ask())
    return time.monotonic() - asked[0] if asked else None


def _check_end(attempts: list[_Attempt], params: Params) -> Check:
    assert params.command
    for attempt in attempts:
        if attempt.problem is not None:
            return Check(name="metric", passed=False, sentence=attempt.problem)
    first = attempts[0]
    return Check(
        name="metric", passed=True, sentence=f"{params.command.metric} is {first.value:g}, from {first.trial.source}"
    )


def _check_reports(attempt: _Attempt) -> Check:
    count = len(attempt.epochs)
    if count > 1:
        return Check(name="reports", passed=True, sentence=f"{count} epochs can be followed")
    return Check(
        name="reports",
        passed=True,
        sentence="it cannot be followed while it trains: it reports, or prints the metric, once at the end"
        if count
        else "it cannot be followed while it trains: it gives its result at the end",
    )


def _check_repeats(values: tuple[float, ...]) -> Check:
    first, *others = [f"{value!r}" for value in values]
    if not others:
        return Check(name="seed", passed=False, sentence="the second trial of the same seed did not end well")
    if others == [first]:
        return Check(name="seed", passed=True, sentence=f"the same seed gave {first} twice")
    return Check(
        name="seed",
        passed=False,
        sentence=f"the same seed gave {first} and {others[0]}: set all that is random from {{seed}} or trial.seed, "
        "or take several seeds for each point",
    )


def _check_stop(seconds: float | None) -> Check:
    if seconds is None:
        sentence = "it ended before it could be asked to stop"
    elif seconds < program.TERM_SECONDS:
        sentence = f"it stopped {seconds:.1f} s after it was asked to"
    else:
        sentence = (
            f"it did not stop within {program.TERM_SECONDS:g} s of SIGTERM and was killed: "
            "end it upon SIGTERM, or ask trial.should_stop"
        )
    return Check(name="stop", passed=seconds is None or seconds < program.TERM_SECONDS, sentence=sentence)


def _check_left(left: int) -> Check:
    if not left:
        return Check(name="processes", passed=True, sentence="it leaves no process behind")
    return Check(
        name="processes",
        passed=False,
        sentence=f"it left {left} {'process' if left == 1 else 'processes'} behind, which are ended with it: "
        "have it wait for them",
    )


def _check_outside(outside: tuple[str, ...] | None, work: Path) -> Check:
    if outside is None:
        return Check(
            name="files",
            passed=True,
            sentence=f"{work} has more than {MAX_FILES} files, so it was not looked at for new ones",
        )
    if not outside:
        return Check(name="files", passed=True, sentence=f"it changes no file in {work}")
    listed = ", ".join(outside[:SHOWN_FILES]) + (", …" if len(outside) > SHOWN_FILES else "")
    return Check(
        name="files",
        passed=False,
        sentence=f"it writes in {work}, where trials that run at the same time overwrite each other's: {listed}. "
        "Have it write below {folder} or trial.folder",
    )


def _listing(work: Path, left_out: Path) -> dict[str, tuple[int, int]] | None:
    """Return size and time of the files in a folder; None if they are too many."""
    found: dict[str, tuple[int, int]] = {}
    for folder, folders, files in os.walk(work):
        folders[:] = [
            name for name in folders if name not in IGNORED and Path(folder, name).absolute() != left_out.absolute()
        ]
        for name in files:
            path = Path(folder, name)
            try:
                state = path.stat()
            except OSError:  # removed meanwhile
                continue
            found[str(path.relative_to(work))] = state.st_size, state.st_mtime_ns
        if len(found) > MAX_FILES:
            return None
    return found


def _changed(
    before: Mapping[str, tuple[int, int]] | None, after: Mapping[str, tuple[int, int]] | None
) -> tuple[str, ...] | None:
    if before is None or after is None:
        return None
    return tuple(sorted(name for name, state in after.items() if before.get(name) != state))
