"""Makes a recipe of the text of a file in ``HOME/recipes``. What a file may hold is in ``FIELDS``."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainers.commands import placeholders
from trainers.commands.command import Command, is_probably_minimized
from trainers.commands.files import RecipeFileError, find_file, is_name, list_names, read_file
from trainers.commands.number_fields import STANDARD, read_numbers, read_presets, read_standard
from trainers.commands.output import check_pattern
from trainers.commands.recipe import make_recipe
from trainers.commands.sources import find_sources, read_source, reads_split
from trainers.commands.toml_table import FLAG, TABLE, TEXT, TEXTS, WHOLE, Table
from trainers.recipe import Recipe, RecipeError

FIELDS = {  # with an example of each, as it is written
    "title": (TEXT, '"ResNet-50 on our photos"'),
    "command": ((str, list), '"python train.py --gm {gm} --gc {gc} --seed {seed}"'),
    "folder": (TEXT, '"/srv/training"'),
    "metric": (TEXT, '"accuracy"'),
    "mode": (TEXT, '"max"'),
    "test_metric": (TEXT, '"test_accuracy"'),
    "metric_file": (TEXT, '"{folder}/metrics.csv"'),
    "pattern": (TEXT, "'top-1: ([0-9.]+)'"),
    "files": (TEXTS, '["model.py"]'),
    "variables": (TEXTS, '["WANDB_MODE"]'),
    "reads_split": (FLAG, "true"),
    **{name: (WHOLE, example) for name, example in STANDARD.items()},
    "numbers": (TABLE, "{lr = 0.1}"),
    "presets": (TABLE, "{short = {epochs = 5}}"),
}
_QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
SHELL = {"|", "||", "&", "&&", ";", "<", ">", ">>", "2>&1"}  # words for a shell, which no command goes through


def list_known(home: Path) -> list[str]:
    """Return the names of files that may describe recipes; none if the folder cannot be read."""
    try:
        return [name for name in list_names(home) if is_name(name)]
    except RecipeFileError:
        return []


def read_recipe(home: Path, name: str) -> Recipe:
    """Return the recipe that a file describes.

    Raises:
        RecipeFileError: if the file is wrong, or what it names is not here.
    """
    table = _parse(find_file(home, name), read_file(home, name))
    table.require_known(FIELDS)
    folder = _read_folder(table)
    words, program = _read_words(table, folder)
    files = _read_files(table, words, folder)
    filled_in = (*words, table.take("metric_file", *FIELDS["metric_file"]) or "")
    metric = table.take_line("metric", FIELDS["metric"][1]) or Command.metric
    command = Command(
        words=words,
        folder=str(folder),
        program=program,
        metric=metric,
        mode=_read_mode(table, metric),
        test_metric=table.take_line("test_metric", FIELDS["test_metric"][1]),
        metric_file=table.take_line("metric_file", FIELDS["metric_file"][1]),
        pattern=_read_pattern(table),
        files=files,
        variables=_read_variables(table),
        numbers=(*read_standard(table, filled_in), *read_numbers(table, filled_in)),
        reads_split=_read_reads_split(table, files),
    )
    with _placed(table, "command"):
        placeholders.check(command)
    recipe = _make_recipe(name, command, table.take_line("title", FIELDS["title"][1]) or f"{name}, described by a file")
    return dataclasses.replace(recipe, presets=read_presets(table, recipe))


_parse = lru_cache(64)(Table.parse)  # by content, so that a changed file is seen at once
_make_recipe = lru_cache(64)(make_recipe)
_reads_split = lru_cache(64)(reads_split)


def _read_mode(table: Table, metric: str) -> Any:
    mode = table.take("mode", *FIELDS["mode"])
    if mode is None and is_probably_minimized(metric):
        rule = f"mode must say whether {metric} is better high or low"
        table.refuse("mode", rule, 'Write mode = "min", or mode = "max"')
    if mode not in (None, "max", "min"):
        table.refuse("mode", 'mode must be "max" or "min"', 'Write mode = "min" for a loss.')
    return mode or "max"


def _read_folder(table: Table) -> Path:
    """Return the folder in which the command runs; a relative one starts at that of the file, which is the default."""
    given = table.take_line("folder", FIELDS["folder"][1]) or "."
    folder = Path(os.path.abspath(table.file.parent / os.path.expanduser(given)))
    if not folder.is_dir():
        remedy = f"Create {folder}, or name another; a relative one starts at {table.file.parent}."
        table.refuse("folder", "folder must be one that exists", remedy)
    return folder


def _read_words(table: Table, folder: Path) -> tuple[tuple[str, ...], str | None]:
    """Return the words of the command, of which the first is the path of its program, and its name if it is on PATH."""
    kinds, example = FIELDS["command"]
    given = table.take("command", kinds, example)
    if given is None:
        table.refuse("command", "command is required", f"Write e.g. command = {example}")
    try:
        words = shlex.split(given) if isinstance(given, str) else list(given)
    except ValueError as error:
        fault = str(error).lower()
        table.refuse("command", f"the quotes of command must match ({fault})", "Close them, or write a list of texts.")
    if not words or not words[0]:
        table.refuse("command", "command must begin with a program", f"Write e.g. command = {example}")
    if isinstance(given, str) and (meant := SHELL.intersection(_QUOTED.sub("''", given).split())):
        rule = f"command goes through no shell, which {' and '.join(sorted(meant))} would need"
        table.refuse("command", rule, 'Put the line into a script, or write command = ["sh", "-c", "…"]')
    program = os.path.expanduser(words[0])
    found = shutil.which(str(folder / program) if os.sep in program else program)
    if found is None:
        rule = "command must begin with a program that can be run"
        table.refuse("command", rule, _program_remedy(program, folder), words[0])
    return (os.path.abspath(found), *words[1:]), None if os.sep in program else program


def _program_remedy(program: str, folder: Path) -> str:
    if (folder / program).is_file():
        runner = f"python {program}" if program.endswith(".py") else f"sh {program}"
        return f"Name what runs it, e.g. {runner}, or make it a program: chmod +x, and ./ before its name."
    return "Install it, correct its name, or write its path, which starts at folder."


def _read_pattern(table: Table) -> str | None:
    pattern = table.take_line("pattern", FIELDS["pattern"][1])
    if pattern is not None:
        with _placed(table, "pattern"):
            check_pattern(pattern)
    return pattern


@contextmanager
def _placed(table: Table, key: str) -> Iterator[None]:
    """Say of what is refused where in the file it stands."""
    try:
        yield
    except RecipeError as error:
        raise RecipeFileError(f"{table.where(key)}: {error}") from None


def _read_files(table: Table, words: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Return the paths of what a result depends on: the files that are named, and those that the command names."""
    named = [os.path.abspath(folder / name) for name in table.take("files", *FIELDS["files"]) or []]
    for path in named:
        if not os.path.isfile(path):
            table.refuse("files", "files must name files that exist", "Correct the name; it starts at folder.", path)
    return tuple(dict.fromkeys([*find_sources(words, folder), *named]))


def _read_reads_split(table: Table, files: tuple[str, ...]) -> bool:
    """Return whether the program asks for the split; by default, whether its files say so."""
    given: bool | None = table.take("reads_split", *FIELDS["reads_split"])
    return any(map(_reads_split, map(read_source, files))) if given is None else given


def _read_variables(table: Table) -> tuple[str, ...]:
    names = table.take("variables", *FIELDS["variables"]) or []
    for name in names:
        if not re.fullmatch(r"(?!SEQNORM_)[A-Za-z_]\w*", name, re.ASCII):
            rule = "variables must be names of environment variables, other than SEQNORM_…, whose values are passed on"
            table.refuse("variables", rule, "Write names alone; set the values where the worker starts.", name)
    return tuple(names)
