"""The description of a recipe, without torch, and the lookup of installed recipes. Standard library only."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import category

from trainers.near_misses import did_you_mean, near_misses

if TYPE_CHECKING:
    from trainers.commands.command import Command

ENTRY_POINT_GROUP = "seqnorm.recipes"
FILES = "trainers.commands.recipe_file"  # resolved late: it makes recipes, with what is defined here
MAX_NAME = 100  # characters of the name of a number
MAX_TEXT = 1000  # characters of a number's value
MAX_INT = 2**31 - 1  # largest int of a recipe: fits INTEGER of every database


class RecipeError(ValueError):
    """A recipe cannot run as requested; the message gives rule, received value and remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Return text that can be stored and sent: names of files may hold bytes that are not text."""
    return text.encode(errors="backslashreplace").decode()


def number(
    default: float | str,
    unit: str,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
    of_data: bool = False,
) -> Any:
    """Declare a number of a recipe: default, unit, and allowed range or choices.

    ``of_data`` says that `load` reads it: it has one value in a whole search, which reads its data once.
    """
    allowed = {"at_least": at_least, "at_most": at_most, "choices": choices, "of_data": of_data}
    return dataclasses.field(default=default, metadata={"unit": unit, **allowed})


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers (hyperparameters) of every recipe; a recipe adds its own in a subclass.

    One that redeclares a number without an upper limit keeps the limit given here.
    """

    batch: int = number(512, "samples per step, over all devices", 1, 2**20)
    devices: int = number(1, "devices that the paper's gm counts per", 1, 2**16)
    min_group: int = number(4, "smallest group of samples allowed (paper section 3)", 2, 2**20)
    epochs: int = number(10, "passes over the training split", 1, 100_000)
    learning_rate: float = number(0.1, "per step, for the whole batch", 0)
    split_seed: int = number(0, "seed of the train / validation / test split", 0, of_data=True)


_UPPER_LIMITS = {field.name: field.metadata["at_most"] for field in dataclasses.fields(Numbers)}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The descriptor of a recipe, named by an entry point in the group ``seqnorm.recipes``."""

    name: str  #: as typed on the command line, e.g. ``mnist-simplenet``
    title: str  #: one line, shown in lists
    numbers: type[Numbers]  #: frozen dataclass; its defaults define the recipe
    run: str  #: ``module:function`` that trains a trial; only trials import it
    load: str  #: ``module:function``, ``load(numbers, data, home) -> data``; runs once per search
    widths: Callable[[Any], tuple[int, ...] | None]  #: channels of each normalized layer; None if that needs torch
    spatial: bool = True  #: whether normalized layers have spatial positions, so that gc may equal a width
    metric: str = "accuracy"  #: the reported metric that candidates are compared by
    mode: Literal["max", "min"] = "max"  #: whether a higher or a lower metric is better
    reports: tuple[str, ...] = ("train_loss", "validation_loss", "validation_accuracy", "learning_rate", "seconds")
    data: str = ""  #: accepted data sets, shown to people
    identify_data: str | None = None  #: ``module:function``, names the data set that ``load`` uses by default
    bundled: int | None = None  #: number of training samples, if the data set is always the bundled one
    #: ``module:function``, ``check(numbers, path) -> str``, what was found, for people; None if it takes no data
    check_data: str | None = None
    download: str | None = None  #: ``module:function``, ``download(home)``; None if there is nothing to download
    check: str | None = None  #: ``module:function``, ``check(numbers, data, gc)``, used if `widths` returns None
    build: str = ""  #: ``module:function`` that builds the network, e.g. to load a trial's weights
    presets: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)  #: named sets of numbers
    unnormalized: Mapping[str, object] = dataclasses.field(default_factory=dict)  #: overrides without normalization
    landscape: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)  #: steps of a loss landscape, times the learning rate
    command: Command | None = None  #: somebody's own program; its numbers may lack those of :class:`Numbers`
    trains_unnormalized: bool = True  #: whether it can train without normalization, as the variant `none`

    @property
    def data_numbers(self) -> frozenset[str]:
        """The names of the numbers that `load` reads."""
        return frozenset(field.name for field in dataclasses.fields(self.numbers) if field.metadata.get("of_data"))

    def with_overrides(self, overrides: Mapping[str, object]) -> Any:
        """Return the recipe's numbers with some of them replaced.

        Raises:
            RecipeError: for an unknown name, or a value of the wrong type or out of range.
        """
        fields = {field.name: field for field in dataclasses.fields(self.numbers)}
        values: dict[str, Any] = {}
        for name, value in overrides.items():
            if name not in fields and len(name) > MAX_NAME:  # comparing it to the known ones would take long
                raise RecipeError(
                    f"the name of a number must have at most {MAX_NAME} characters: got {len(name)}. "
                    f"seqnorm recipes {self.name} lists the names."
                )
            if name not in fields:
                similar = near_misses(name, fields) or fields
                raise RecipeError(
                    f"{self.name} has no number {name}: got {name}={value}. Use {', '.join(similar)}; "
                    f"seqnorm recipes {self.name} lists them all."
                )
            values[name] = _parse(fields[name], value)
        return self.numbers(**values)


def _parse(field: dataclasses.Field[Any], value: object) -> Any:
    """Convert an override to the type of its number and check its range."""
    kind = type(field.default)
    unit, at_least = field.metadata.get("unit", ""), field.metadata.get("at_least")
    at_most, choices = field.metadata.get("at_most"), field.metadata.get("choices")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise RecipeError(
            f"{field.name} must have at most {MAX_TEXT} characters ({unit}): got {len(value)}. "
            f"The default is {field.default}."
        )
    if isinstance(value, str) and any(category(character) in ("Cc", "Cs") for character in value):
        raise RecipeError(
            f"{field.name} must hold no control characters or lone surrogates ({unit}): got {value!r}. "
            f"The default is {field.default}."
        )
    try:
        converted = _convert(kind, value)
    except (ValueError, TypeError, OverflowError):
        raise RecipeError(
            f"{field.name} must be a {_KINDS[kind]} ({unit}): got {value!r}. The default is {field.default}."
        ) from None
    if at_least is not None and at_least == at_most and converted != at_least:  # nothing takes another value
        raise RecipeError(f"{field.name} must stay {at_least} ({unit}): got {value}. Leave it out.")
    if at_least is not None and not converted >= at_least:
        raise RecipeError(
            f"{field.name} must be at least {at_least} ({unit}): got {value}. The default is {field.default}."
        )
    if at_most is None:
        at_most = _UPPER_LIMITS.get(field.name) or (MAX_INT if kind is int else None)
    if at_most is not None and not converted <= at_most:
        raise RecipeError(
            f"{field.name} must be at most {at_most} ({unit}): got {value}. The default is {field.default}."
        )
    if choices and converted not in choices:
        raise RecipeError(
            f"{field.name} must be one of {', '.join(choices)} ({unit}): got {value!r}. The default is {field.default}."
        )
    return converted


_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def _convert(kind: type, value: object) -> Any:
    """Convert ``value`` (text from a command line, or a JSON value) to ``kind``, or raise ValueError."""
    if kind is bool:
        if str(value).lower() not in _BOOLEANS:
            raise ValueError
        return _BOOLEANS[str(value).lower()]
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        raise ValueError
    if kind is not str and isinstance(value, str) and not value.isascii():  # Python reads digits of every script
        raise ValueError
    converted = kind(value)
    if kind is float and converted - converted != 0:  # nan or infinite
        raise ValueError
    return converted


@cache
def installed() -> tuple[EntryPoint, ...]:
    """Return the entry points of recipes; cached, because reading them takes milliseconds."""
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def names(home: Path | None = None) -> list[str]:
    """Return the names of the installed recipes, and of those that files in a home folder describe.

    Files are not read: one may turn out to be wrong.
    """
    described: list[str] = resolve(f"{FILES}:list_known")(home) if home else []
    return sorted({*described, *(point.name for point in installed())})


def find(name: str, home: Path | None = None) -> Recipe:
    """Return the recipe with that name, installed or described by a file in a home folder.

    Raises:
        RecipeError: if there is none, with the known names, or its file is wrong.
    """
    for point in installed():
        if point.name == name:
            recipe: Recipe = point.load()
            return recipe
    if name not in (known := names(home)):
        raise RecipeError(f"no recipe is named {name!r}. Known: {', '.join(known)}.{did_you_mean(name, known)}")
    described: Recipe = resolve(f"{FILES}:read_recipe")(home, name)
    return described


def resolve(reference: str) -> Callable[..., Any]:
    """Import the function named by ``module:function``."""
    module, _, function = reference.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def describe(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's description as a JSON value: metric, data, presets, and numbers with units."""
    return {
        "name": recipe.name,
        "title": recipe.title,
        "kind": "file" if recipe.command else "installed",
        "metric": recipe.metric,
        "mode": recipe.mode,
        "data": recipe.data,
        "presets": {preset: dict(numbers) for preset, numbers in recipe.presets.items()},
        "numbers": [
            {
                "name": field.name,
                "default": field.default,
                "unit": field.metadata.get("unit", ""),
                "at_least": field.metadata.get("at_least"),
                "at_most": field.metadata.get("at_most"),
                "choices": list(field.metadata.get("choices", ())),
            }
            for field in dataclasses.fields(recipe.numbers)
        ],
    }
