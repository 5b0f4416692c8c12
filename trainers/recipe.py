"""What a recipe says of itself without importing torch, and how recipes are found. Standard library only."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

ENTRY_POINT_GROUP = "seqnorm.recipes"
LARGEST = 2**31 - 1  # whole number of a recipe: an INTEGER of every database, and its divisors are found at once


class RecipeError(ValueError):
    """A recipe cannot run as asked; the message says rule, received value and remedy."""


def number(
    default: float | str,
    unit: str,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a recipe's number with its unit, its default and what is allowed."""
    allowed = {"at_least": at_least, "at_most": at_most, "choices": choices}
    return dataclasses.field(default=default, metadata={"unit": unit, **allowed})


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers every recipe has; a recipe adds its own by inheriting."""

    batch: int = number(512, "samples per step, over all devices", 1)
    devices: int = number(1, "devices that the paper's gm counts per", 1)
    min_group: int = number(4, "smallest group of samples allowed (paper section 3)", 2)
    epochs: int = number(10, "passes over the training split", 1)
    learning_rate: float = number(0.1, "per step, for the whole batch", 0)
    split_seed: int = number(0, "seed of the train / validation / test split", 0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The light side of a recipe. The entry point of the group ``seqnorm.recipes`` names one of these."""

    name: str  #: what people type, e.g. ``mnist-simplenet``
    title: str  #: one line for lists
    numbers: type[Numbers]  #: frozen dataclass; its defaults are the recipe
    run: str  #: ``module:function``, the trial; imported by the trial alone
    load: str  #: ``module:function``, ``load(numbers, data, home) -> data``; runs once per search
    widths: Callable[[Any], tuple[int, ...] | None]  #: channels of each normalized layer; None if only torch knows
    spatial: bool = True  #: whether normalized layers have positions in space, so that gc may equal a width
    metric: str = "accuracy"  #: the reported figure that candidates are compared by
    mode: Literal["max", "min"] = "max"  #: whether a higher or a lower metric is better
    reports: tuple[str, ...] = ("train_loss", "validation_loss", "validation_accuracy", "learning_rate", "seconds")
    data: str = ""  #: which data sets it takes, for a person
    identify_data: str | None = None  #: ``module:function``, names what ``load`` finds under ``home`` without a choice
    bundled: int | None = None  #: training samples, where the data set is always the bundled one
    check_data: str | None = None  #: ``module:function``, ``check(numbers, path)``; None: takes no data
    download: str | None = None  #: ``module:function``, ``download(home)``; None where there is nothing to fetch
    check: str | None = None  #: ``module:function``, ``check(numbers, data, gc)``, where `widths` says None
    build: str = ""  #: ``module:function``, the network; what loads a trial's weights back
    presets: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)  #: named sets of numbers
    unnormalized: Mapping[str, object] = dataclasses.field(default_factory=dict)  #: its numbers without normalization
    landscape: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)  #: steps of a loss landscape, times the learning rate

    def with_overrides(self, overrides: Mapping[str, object]) -> Any:
        """Return the recipe's numbers with some of them replaced.

        Raises:
            RecipeError: for an unknown name, a value of the wrong type or one under its bound.
        """
        fields = {field.name: field for field in dataclasses.fields(self.numbers)}
        values: dict[str, Any] = {}
        for name, value in overrides.items():
            if name not in fields:
                near = get_close_matches(name, fields) or fields
                raise RecipeError(
                    f"{self.name} has no number {name}: got {name}={value}. Use {', '.join(near)}; "
                    f"seqnorm recipes {self.name} lists them all."
                )
            values[name] = _checked(fields[name], value)
        return self.numbers(**values)


def _checked(field: dataclasses.Field[Any], value: object) -> Any:
    """Convert an override to the type of the number it replaces."""
    kind = type(field.default)
    unit, at_least = field.metadata.get("unit", ""), field.metadata.get("at_least")
    at_most, choices = field.metadata.get("at_most"), field.metadata.get("choices")
    try:
        converted = _convert(kind, value)
    except (ValueError, TypeError, OverflowError):
        raise RecipeError(
            f"{field.name} must be a {_KINDS[kind]} ({unit}): got {value!r}. The default is {field.default}."
        ) from None
    if at_least is not None and not converted >= at_least:
        raise RecipeError(
            f"{field.name} must be at least {at_least} ({unit}): got {value}. The default is {field.default}."
        )
    at_most = LARGEST if kind is int and at_most is None else at_most
    if at_most is not None and not converted <= at_most:
        raise RecipeError(
            f"{field.name} must be at most {at_most} ({unit}): got {value}. The default is {field.default}."
        )
    if choices and converted not in choices:
        raise RecipeError(
            f"{field.name} must be one of {', '.join(choices)} ({unit}): got {value!r}. The default is {field.default}."
        )
    return converted


_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def _convert(kind: type, value: object) -> Any:
    """Read ``value`` (text from a command line, or a JSON value) as ``kind``; raise ValueError where it is not one."""
    if kind is bool:
        if str(value).lower() not in ("true", "false"):
            raise ValueError
        return str(value).lower() == "true"
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        raise ValueError
    converted = kind(value)
    if kind is float and converted - converted != 0:  # nan or infinite
        raise ValueError
    return converted


@cache
def installed() -> tuple[EntryPoint, ...]:
    """Return the entry points of recipes, read once: it takes milliseconds, too many for every request."""
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def names() -> list[str]:
    """Name every installed recipe."""
    return sorted(point.name for point in installed())


def find(name: str) -> Recipe:
    """Return the installed recipe of that name.

    Raises:
        RecipeError: if none has it; the message names the known ones.
    """
    for point in installed():
        if point.name == name:
            recipe: Recipe = point.load()
            return recipe
    raise RecipeError(f"no recipe is named {name!r}. Known: {', '.join(names())}.")


def resolve(reference: str) -> Callable[..., Any]:
    """Import what ``module:function`` names."""
    module, _, function = reference.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def describe(recipe: Recipe) -> dict[str, Any]:
    """Return what a person may want to know of a recipe, as a JSON value: its numbers with units, its presets."""
    return {
        "name": recipe.name,
        "title": recipe.title,
        "metric": recipe.metric,
        "mode": recipe.mode,
        "data": recipe.data,
        "presets": {preset: dict(numbers) for preset, numbers in recipe.presets.items()},
        "numbers": [
            {
                "name": field.name,
                "default": field.default,
                "unit": field.metadata.get("unit", ""),
                "choices": list(field.metadata.get("choices", ())),
            }
            for field in dataclasses.fields(recipe.numbers)
        ],
    }
