"""Fills the placeholders of a command: ``{gm} {gc} {seed} {split} {folder}`` and the names of its numbers.

A name in double braces stands for itself: ``{{gm}}`` is the text ``{gm}``. All other braces are left alone, those of
JSON, of regular expressions and of the shell (``${HOME}``).
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping

from trainers.commands.command import Command
from trainers.commands.output import check_pattern
from trainers.near_misses import did_you_mean
from trainers.recipe import RecipeError

BUILT_IN = ("gm", "gc", "seed", "split", "folder")

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_BRACES = re.compile(rf"\{{\{{(?P<text>{_NAME})\}}\}}|(?<![${{])\{{(?P<name>{_NAME})\}}")


def fill(text: str, values: Mapping[str, object]) -> str:
    """Return a text with its placeholders replaced by values; unknown ones are left alone."""

    def replace(found: re.Match[str]) -> str:
        if found["text"]:
            return f"{{{found['text']}}}"
        return _written(values[found["name"]]) if found["name"] in values else found[0]

    return _BRACES.sub(replace, text)


def is_used(name: str, texts: Iterable[str]) -> bool:
    """Return whether a placeholder is in one of the texts."""
    return any(fill(text, {name: ""}) != text for text in texts)


def check(command: Command) -> None:
    """Check the placeholders, the names of the numbers, and the pattern of a command.

    Raises:
        RecipeError: if one of them cannot be meant.
    """
    if not command.words or not command.words[0]:
        raise RecipeError(
            "a command must name a program: got no words. Give what you would type, e.g. python train.py."
        )
    if not command.metric.strip():
        raise RecipeError("a command must name its metric: got an empty name. Give one, e.g. --metric val_acc.")
    names = [each.name for each in command.numbers]
    for name in names:
        _check_number(name)
    for text in (*command.words, command.metric_file or ""):
        for found in _BRACES.finditer(text):
            _check_placeholder(found["name"], (*BUILT_IN, *names))
    if command.pattern is not None:
        check_pattern(command.pattern)


def _check_number(name: str) -> None:
    if name in BUILT_IN:
        raise RecipeError(
            f"{{{name}}} is filled in by the search: got a number named {name}. Give the number another name."
        )
    if not re.fullmatch(_NAME, name) or keyword.iskeyword(name):
        raise RecipeError(
            "the name of a number must consist of letters, digits and _, not begin with a digit and not be a keyword "
            f"of Python: got {name!r}. Rename it."
        )


def _check_placeholder(name: str | None, known: tuple[str, ...]) -> None:
    if name is not None and name not in known:
        raise RecipeError(
            f"a placeholder must be one of {', '.join(f'{{{each}}}' for each in known)}: got {{{name}}}."
            f"{did_you_mean(name, known)} For the text {{{name}}} itself, write {{{{{name}}}}}."
        )


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
