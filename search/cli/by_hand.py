"""Writes the line that runs a command by hand with one point of a search."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from search.plan.selection import Point
from trainers.commands.command import Command
from trainers.commands.placeholders import fill

SAME_FIGURE = (
    "Stage test trained with fresh seeds and measured what the other stages did, as nothing in the command reads the "
    "split. For held-out data, use trial.split, {split} or --test-metric."
)


def write_line(command: Command, point: Point, numbers: Mapping[str, object], seed: int, here: Path) -> str:
    """Return the line for a shell: what no placeholder passes on stands before it, for ``seqnorm.trial()``.

    Args:
        command: of the search.
        point: with gm and gc.
        numbers: of the point, by name.
        seed: to train with.
        here: the folder in which the line is typed.
    """
    folder = f"gm{point.gm}-gc{point.gc}"  # of the program's files, in its own folder
    values = {**numbers, "gm": point.gm, "gc": point.gc, "seed": seed, "split": "validation", "folder": folder}
    program, *arguments = (fill(word, values) for word in command.words)
    name = os.path.basename(program)
    words = [name if shutil.which(name) == program else program, *(_shorten(word, command) for word in arguments)]
    variables = [
        f"SEQNORM_{key.upper()}={values[key]}"
        for key in ("gm", "gc")
        if not any(f"{{{key}}}" in word for word in command.words)
    ]
    steps = [f"cd {shlex.quote(command.folder)}"] if str(here) != command.folder else []
    if any("{folder}" in text for text in (*command.words, command.metric_file or "")):
        steps.append(f"mkdir -p {folder}")
    return " && ".join([*steps, " ".join([*variables, shlex.join(words)])])


def _shorten(word: str, command: Command) -> str:
    """Return the path of a script as it is typed in the command's folder; other words as they are."""
    return os.path.relpath(word, command.folder) if word in command.files else word
