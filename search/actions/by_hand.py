"""Writes the line that runs a command by hand with one point of a search."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from search.plan.selection import Point
from trainers.commands.command import Command
from trainers.commands.placeholders import fill
from trainers.trial import Measure


def write_line(
    command: Command,
    point: Point,
    numbers: Mapping[str, object],
    seed: int,
    here: Path,
    measure: Measure = "validation",
    named: Collection[str] = ("gm", "gc"),
) -> str:
    """Return the line for a shell: what no placeholder passes on stands before it, for ``seqnorm.trial()``.

    Args:
        command: of the search.
        point: with gm and gc.
        numbers: of the point, by name.
        seed: to train with.
        here: the folder in which the line is typed.
        measure: the split that it measures on.
        named: which of gm, gc, seed and split stand before it, where no placeholder passes them on.
    """
    folder = f"gm{point.gm}-gc{point.gc}"  # of the program's files, in its own folder
    values = {**numbers, "gm": point.gm, "gc": point.gc, "seed": seed, "split": measure, "folder": folder}
    program, *arguments = (fill(word, values) for word in command.words)
    name = os.path.basename(program)
    words = [name if shutil.which(name) == program else program, *(_shorten(word, command) for word in arguments)]
    variables = [
        f"SEQNORM_{key.upper()}={values[key]}"
        for key in named
        if not any(f"{{{key}}}" in word for word in command.words)
    ]
    steps = [f"cd {shlex.quote(command.folder)}"] if str(here) != command.folder else []
    if any("{folder}" in text for text in (*command.words, command.metric_file or "")):
        steps.append(f"mkdir -p {folder}")
    return " && ".join([*steps, " ".join([*variables, shlex.join(words)])])


def _shorten(word: str, command: Command) -> str:
    """Return the path of a script as it is typed in the command's folder; other words as they are."""
    return os.path.relpath(word, command.folder) if word in command.files else word
