"""Makes a command of what a person typed: of a script with its arguments, or of the words after ``--``."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Never

from search.cli.stray_words import names_script
from search.plan.spec import NumberValue, refusing_specs
from search.vocabulary.errors import InvalidSpec
from trainers.commands.command import Command, CommandNumber, is_probably_minimized
from trainers.commands.placeholders import check
from trainers.commands.sources import find_sources, read_source, reads_split
from trainers.near_misses import did_you_mean, near_misses
from trainers.recipe import MAX_INT, Numbers, names, printable

MAX_NAME = 100  # characters of the recipe of a search
STANDARD = ("batch", "devices", "min_group", "epochs")  # numbers that need no placeholder: the search reads them
PASSED_ON = ("gm", "gc", "seed")
_STANDARD = {field.name: field.metadata for field in dataclasses.fields(Numbers) if field.name in STANDARD}
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILLED = re.compile(rf"(?<![${{]){_PLACEHOLDER.pattern}")


@dataclass(frozen=True)
class Program:
    """A program with its arguments."""

    name: str  #: of the script, or of the program
    words: tuple[str, ...]
    files: tuple[str, ...]  #: what it is made of, as far as its words say


def find_program(recipe: str | None, words: tuple[str, ...] | None, folder: Path) -> Program | None:
    """Return the program that a command line names; None if it names a recipe, or nothing.

    Args:
        recipe: the argument RECIPE.
        words: those after ``--``.
        folder: where the command was typed.

    Raises:
        InvalidSpec: if it cannot be run, or words follow the name of a recipe.
    """
    if recipe is None:
        return None if words is None else _find_command(words, folder)
    if names_script(recipe):
        return _find_script(recipe, words or (), folder)
    if words:
        rest = shlex.join(words)
        if recipe not in names() and shutil.which(recipe):
            raise InvalidSpec(
                f"a command must stand after -- as a whole: got {recipe} before it. Give: -- {recipe} {rest}"
            )
        raise InvalidSpec(
            f"only a script takes words after --: got {rest} for the recipe {recipe}. "
            "Set a recipe's numbers with --set NAME=VALUE."
        )
    return None


def _find_script(text: str, words: tuple[str, ...], folder: Path) -> Program:
    _refuse_notebook([text])
    path = os.path.abspath(os.path.join(folder, text))  # links stay: a script finds its modules as by hand
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise InvalidSpec(
            f"RECIPE must be the name of a recipe, or a script: got {text}, which {what}.{_similar_files(text, folder)}"
        )
    if path.endswith(".py"):
        start = [sys.executable, path]
    elif os.access(path, os.X_OK):
        start = [path]
    else:
        given = shlex.join([text, *words])
        raise InvalidSpec(
            f"a script must end with .py or be executable: got {text}, which is neither. "
            f"Make it executable with: chmod +x {shlex.quote(text)}, or name what runs it: -- bash {given}"
        )
    files = (path, *find_sources(words, folder))
    return Program(_shown(path), (*map(_as_text, start), *words), tuple(dict.fromkeys(files)))


def _find_command(words: tuple[str, ...], folder: Path) -> Program:
    if not words or not words[0].strip():
        raise InvalidSpec(
            "a command must stand after --: got nothing. "
            "Give what you would type, e.g. -- python train.py --gm {gm} --gc {gc} --seed {seed}"
        )
    program = words[0]
    found = shutil.which(os.path.join(folder, program) if os.sep in program else program)
    if found is None:
        _refuse_program(program, words, folder)
    if re.fullmatch(r"python[\d.]*", os.path.basename(program)):
        _refuse_notebook([word for word in words[1:] if not word.startswith("-")][:1])
    sources = find_sources(words, folder)
    return Program(_shown(sources[0] if sources else found), (_as_text(os.path.abspath(found)), *words[1:]), sources)


def _refuse_notebook(words: Iterable[str]) -> None:
    """Refuse a notebook, which is no Python."""
    for word in words:
        if word.lower().endswith(".ipynb"):
            script = shlex.quote(f"{word[:-6]}.py")
            raise InvalidSpec(
                f"a training must be a script: got the notebook {word}. Make it one with: "
                f"jupyter nbconvert --to script {shlex.quote(word)}, and give {script}."
            )


def _refuse_program(program: str, words: tuple[str, ...], folder: Path) -> Never:
    """Say why the first word of a command runs nothing."""
    rule = f"a command must begin with a program: got {program!r}"
    given = shlex.join(words)
    if os.path.isfile(folder / program):
        runner = "python" if program.endswith(".py") else "bash"
        raise InvalidSpec(f"{rule}, which is not executable. Name what runs it: -- {runner} {given}")
    if re.match(r"[A-Za-z_]\w*=", program):
        raise InvalidSpec(f"{rule}, which sets a variable. Give: -- env {given}")
    if re.search(r"[\s;&|<>]", program):
        raise InvalidSpec(
            f"{rule}, which is one word. Leave out the quotes around it; a line for a shell is: -- bash -c "
            f"{shlex.quote(program)}"
        )
    if os.sep in program:
        raise InvalidSpec(f"{rule}, which does not exist.{_similar_files(program, folder)}")
    hint = f" Did you mean {sys.executable}?" if program == "python" else did_you_mean(program, _programs())
    raise InvalidSpec(f"{rule}, which is not on PATH. Give its path, or correct its name.{hint}")


def _programs() -> set[str]:
    """Return the names of the programs on PATH."""
    found: set[str] = set()
    for folder in os.get_exec_path():
        try:
            found.update(os.listdir(folder))
        except OSError:
            continue
    return found


def _similar_files(text: str, folder: Path) -> str:
    """Return which files and recipes a missing one may stand for, as the end of a message."""
    beside, name = os.path.split(text)
    try:
        files = [entry.name for entry in os.scandir(folder / beside) if entry.is_file()]
    except OSError:
        files = []
    known = {name: os.path.join(beside, name) for name in files} | {name: name for name in names()}
    found = near_misses(name, known)
    return f" Did you mean {known[found[0]]}?" if found else " Correct its name."


def suggest_script(recipe: str, folder: Path) -> str:
    """Return which scripts of a folder the name of an unknown recipe may stand for, as the end of a message."""
    return did_you_mean(recipe, (path.name for path in folder.glob("*.py")))


def _shown(path: str) -> str:
    return printable(os.path.basename(path))[:MAX_NAME]


def _as_text(path: str) -> str:
    """Return a path whose braces are no placeholders."""
    return _PLACEHOLDER.sub(r"{{\1}}", path)


def make_command(
    program: Program, folder: Path, flags: Mapping[str, Any], numbers: Mapping[str, Any]
) -> tuple[Command, dict[str, NumberValue]]:
    """Return the command that runs a program, and the values of its numbers.

    Args:
        program: with its arguments.
        folder: where it runs.
        flags: those of a program that were typed, by name.
        numbers: values by name, as a file gives them; text of ``--set`` is read by :func:`read_value` before.

    Raises:
        InvalidSpec: with the first problem.
    """
    for name, value in flags.items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise InvalidSpec(f"{_flag(name)} must not be empty: got ''. Leave it out.")
    metric = flags.get("metric", Command.metric)
    if flags.get("test_metric") == metric:
        raise InvalidSpec(
            f"--test-metric must be another figure than --metric: got {metric} for both. Leave out --test-metric."
        )
    for text in (*program.words, str(folder)):
        if text != printable(text):
            raise InvalidSpec(f"a command must be UTF-8 text: got {printable(text)}. Rename the file, or leave it out.")
    values = _complete(_with_flags(numbers, flags))
    files = dict.fromkeys((*program.files, *(_find_code(name, folder) for name in flags.get("code") or ())))
    command = Command(
        words=program.words,
        folder=str(folder),
        metric=metric,
        mode=_read_mode(flags, metric),
        test_metric=flags.get("test_metric"),
        metric_file=flags.get("metric_file"),
        pattern=flags.get("pattern"),
        files=tuple(files),
        variables=tuple(dict.fromkeys(map(_check_variable, flags.get("env") or ()))),
        numbers=tuple(_declare(name, value) for name, value in values.items()),
        reads_split=any(map(reads_split, (*program.words, *map(read_source, files)))),
    )
    with refusing_specs():
        check(command)
    _require_used(command)
    return command, values


def read_value(text: str) -> int | float | bool | str:
    """Return what was typed: a number if it is written as one is, true, false, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,9})", text) and abs(int(text)) <= MAX_INT:
        return int(text)
    if re.fullmatch(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,2})?", text):
        return float(text)
    return text


def _with_flags(numbers: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, NumberValue]:
    given = {name: flags[name] for name in ("batch", "epochs") if name in flags}
    if twice := sorted(given.keys() & numbers.keys()):
        raise InvalidSpec(f"{twice[0]} must be given once: got {_flag(twice[0])} and a number as well. Leave one.")
    return {**given, **numbers}


def _complete(values: dict[str, NumberValue]) -> dict[str, NumberValue]:
    """Return numbers with those that gm is checked with.

    Raises:
        InvalidSpec: if one of them is no whole number, or they lack the batch.
    """
    for name in (name for name in STANDARD if name in values):
        low, high = (_STANDARD[name][key] for key in ("at_least", "at_most"))
        if type(values[name]) is not int or not low <= values[name] <= high:
            raise InvalidSpec(
                f"{name} must be a whole number from {low} to {high} ({_STANDARD[name]['unit']}): "
                f"got {values[name]!r}. Give e.g. --set {name}=8."
            )
    if "batch" in values:
        return {**values, "devices": values.get("devices", 1), "min_group": values.get("min_group", Numbers.min_group)}
    for name in ("devices", "min_group"):
        if name in values:
            raise InvalidSpec(f"{name} needs the batch that gm splits: got {name}={values[name]}. Give --batch N too.")
    return values


def _declare(name: str, value: Any) -> CommandNumber:
    if name not in STANDARD:
        return CommandNumber(name=name, default=value)
    return CommandNumber(
        name=name, default=value, **{key: _STANDARD[name][key] for key in ("unit", "at_least", "at_most")}
    )


def _require_used(command: Command) -> None:
    texts = (*command.words, command.metric_file or "")
    used = {name for text in texts for name in _FILLED.findall(text)}
    for number in command.numbers:
        if number.name not in STANDARD and number.name not in used:
            raise InvalidSpec(
                f"a number of a command must stand in it as {{{number.name}}}: got {number.name}={number.default}, "
                "which nothing uses. Add it to the command, or give it there as it is."
            )


def _read_mode(flags: Mapping[str, Any], metric: str) -> Literal["max", "min"]:
    mode = flags.get("mode")
    if mode is None and is_probably_minimized(metric):
        raise InvalidSpec(
            f"--mode must say whether {metric} is better high or low: got --metric {metric} alone. "
            f"Give --metric {metric} --mode min, or --metric {metric} --mode max."
        )
    if mode not in (None, "max", "min"):
        raise InvalidSpec(f"--mode must be max or min: got {mode!r}. Leave it out for max.")
    return "min" if mode == "min" else "max"


def _find_code(text: str, folder: Path) -> str:
    path = os.path.abspath(os.path.join(folder, text))
    if not os.path.isfile(path):
        what = "a folder: name its files" if os.path.isdir(path) else "not there"
        raise InvalidSpec(f"--code must be a file: got {text}, which is {what}.{_similar_files(text, folder)}")
    return path


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise InvalidSpec(
            f"--env must be the name of a variable: got {name!r}. "
            "Give the name alone; its value is the one where the worker runs."
        )
    if name.startswith("SEQNORM_"):
        raise InvalidSpec(f"--env must not name a variable of seqnorm: got {name}. The program gets its own anyway.")
    return name


def refuse_flags(flags: Iterable[str], recipe: str) -> None:
    """Refuse the flags of a program beside a recipe, which has all of it.

    Raises:
        InvalidSpec: with the first one.
    """
    for name in flags:
        raise InvalidSpec(
            f"{_flag(name)} is for a script or a command: got it for the recipe {recipe}. "
            f"{'Set a number with --set ' + name + '=…' if name in STANDARD else 'Leave it out'}."
        )


def find_warnings(command: Command) -> list[str]:
    """Return what is probably not meant: values that reach nothing, variables that are not set."""
    warnings = [
        f"{name} is not set here. The program gets it if it is set where the worker runs."
        for name in command.variables
        if name not in os.environ
    ]
    path = command.metric_file or "{folder}"
    if "{folder}" not in path and not all(f"{{{name}}}" in path for name in PASSED_ON):
        warnings.append(
            f"Several trials read the metric from one file, {path}: have each write its own, e.g. to "
            "{folder}/metrics.csv, or run one at a time with --concurrency 1."
        )
    texts = (*command.words, command.metric_file or "")
    if not any("seqnorm" in text.lower() for text in (*texts, *map(read_source, command.files))):
        unused = [name for name in PASSED_ON if not any(f"{{{name}}}" in text for text in texts)]
        if unused:
            found = " and ".join(f"{{{name}}}" for name in unused)
            what = "all seeds" if unused == ["seed"] else "some points"
            warnings.append(
                f"Nothing passes {found} on to the program, so {what} may train the same: add {found} to the command, "
                f"or read seqnorm.trial() in the script{_advise_lines(command)}."
            )
    return warnings


def _advise_lines(command: Command) -> str:
    """Say what prints the lines that a Python script needs, as the end of a sentence."""
    script = next((file for file in command.files if file.endswith(".py")), None)
    return f": seqnorm init {shlex.quote(os.path.relpath(script))} prints the lines" if script else ""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
