"""Says in a sentence how a program ended, with its last lines below."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from trainers.commands.output import names_in
from trainers.commands.program import Ending
from trainers.near_misses import near_misses
from trainers.trial import ProgramFailed, ProgramOutOfMemory

LAST_LINES, LAST_CHARACTERS = 20, 2500  # shown
SHOWN_NAMES = 8

_ERROR = re.compile(r"^(?:\[rank\d+\]:\s*)?([A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b.*|[\w.-]+: error: .+)", re.M)
_REFUSAL = re.compile(r"^(?:\[rank\d+\]:\s*)?seqnorm\.checks\.InvalidGroups: (.+)", re.M)
_OUT_OF_MEMORY = re.compile(
    r"\bMemoryError\b|OutOfMemoryError|CUDA out of memory|can't allocate memory|Cannot allocate memory|std::bad_alloc"
)


def fail(ending: Ending, tail: str, words: Sequence[str]) -> ProgramFailed:
    """Return the failure of a program that was started and ended otherwise than by exit code 0."""
    sentence = f"the program {_ending_of(ending)}"
    if errors := _ERROR.findall(tail):
        sentence += f": {errors[-1].strip()[:500]}"
        if errors[-1].startswith("ModuleNotFoundError"):
            sentence += f". Install it for {words[0]}, or name another Python before the script"
    kind = ProgramOutOfMemory if _OUT_OF_MEMORY.search(tail) else ProgramFailed
    return kind(with_last_lines(sentence, tail))


def find_refusal(tail: str) -> str | None:
    """Return why the layers refused gm or gc, if the program ended by their exception."""
    found = _REFUSAL.findall(tail)
    return found[-1].strip() if found else None


def explain_start(ending: Ending, words: Sequence[str]) -> str | None:
    """Return why a program was not started; None if it was."""
    if ending.held_by is not None:
        return (
            f"an attempt of a trial starts when the one before has ended: {ending.held_by or 'a process'} still holds "
            "the folder of this trial. End it, and retry the trial."
        )
    if ending.error is None:
        return None
    program, got = words[0], f"got {words[0]} on {os.uname().nodename}"
    if ending.error == errno.ENOENT and Path(program).exists():
        return f"the interpreter that a program names must be there: {got}, which begins with {_first_line(program)!r}."
    if ending.error == errno.ENOENT:
        return f"the program must be there: {got}. Install it, or give its absolute path."
    if ending.error == errno.EACCES:
        return f"the program must be executable: {got}. Run chmod +x, or name its interpreter before it."
    if ending.error == errno.ENOEXEC:
        return (
            f"the program must begin with a line such as #!/bin/sh: {got}. Add the line, or name its interpreter "
            "before it; a compiled one must be made for this machine."
        )
    return f"the program cannot be started: {got}, {os.strerror(ending.error)}."


def explain_folder(folder: Path, error: int) -> str:
    """Return why nothing can be written in the folder of a trial."""
    return (
        f"the folder of a trial must be one that this user can write in: got {folder} on {os.uname().nodename}, "
        f"{os.strerror(error)}. Make room there, or mend it, and retry the trial."
    )


def explain_no_metric(metric: str, pattern: str | None, reported: Iterable[str], tail: str) -> str:
    """Return the failure of a program that ended well, but without its metric: what it gave, and the remedy."""
    reported, printed = list(reported), names_in(tail)
    sentence = f"the program ended with exit code 0, but without the metric {metric}: "
    sentence += f"it reported {_listed(reported)}" if reported else "it reported nothing"
    if pattern is not None:
        sentence += f", and no line of its output matches the pattern {pattern!r}"
    else:
        sentence += f", and its last lines hold {_listed(printed) if printed else 'no figures'}"
    similar = near_misses(metric, [*reported, *printed])
    remedy = f" Did you mean --metric {similar[0]!r}?" if similar else " Name what it prints by --metric,"
    remedy += " Otherwise" if similar else " or"
    return f"{sentence}.{remedy} say where it is by --pattern or --metric-file."


def explain_unread(metric: str, value: str) -> str:
    """Return the failure of a program whose last metric is no single figure: an earlier one would be taken for it."""
    if "(" in value:
        remedy = (
            "The second may be an average, a deviation or the best one: say which counts, e.g. "
            f"--pattern '{re.escape(metric)}\\W+([0-9.]+)' for the first."
        )
    elif "," in value:
        remedy = "Print it with a decimal point, and without commas."
    else:
        remedy = "Print it once it is known, and last the figure that counts."
    return f"the program ended with exit code 0, but its last {metric} is none that can be read: got {value}. {remedy}"


def explain_ambiguous(metric: str, names: Sequence[str]) -> str:
    """Return the failure of a program that prints several figures of the metric's name in one line."""
    return (
        f"the program ended with exit code 0, but {metric} may be any of {_listed(names)} in a line. Name one, e.g. "
        f"--metric {names[-1]!r}, or say where it is by --pattern."
    )


def with_last_lines(sentence: str, tail: str) -> str:
    """Return a sentence with the last lines of the output below."""
    lines = tail.splitlines()[-LAST_LINES:]
    shown = "\n".join(lines)[-LAST_CHARACTERS:]
    return f"{sentence}\nIts last lines:\n{shown}" if shown.strip() else f"{sentence}\nIt printed nothing."


def _ending_of(ending: Ending) -> str:
    if ending.signal is not None:
        perhaps = ", perhaps by the kernel because memory ran out" if ending.signal == signal.SIGKILL else ""
        return f"was killed by {_name(ending.signal)}{perhaps}"
    code = ending.exit_code or 0
    if code > 128 and code - 128 in signal.valid_signals():  # as shells say it
        return f"ended with exit code {code}, 128 + {code - 128}: a process of it was killed by {_name(code - 128)}"
    return f"ended with exit code {code}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of those without a name
        return f"signal {number}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")


def _first_line(path: str) -> str:
    with open(path, "rb") as file:
        return file.readline(200).decode(errors="replace").strip()
