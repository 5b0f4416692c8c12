"""Checks the figures that a recipe reports and returns, in the trial's own process: no other trial may suffer for them.

Whatever converts to a number is accepted, e.g. NumPy's scalars and tensors with one element.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from search.engine.failures import is_out_of_memory
from trainers.trial import Result

LARGEST_INTEGER = 2**31 - 1  # of an SQL INTEGER
MAX_METRICS = 100  # of an epoch
NAME_CHARACTERS = 100
SHOWN_CHARACTERS = 100  # of a refused value


class InvalidFigure(ValueError):
    """A recipe reported or returned something that is no figure."""


def check_report(positional: tuple[Any, ...], epoch: Any, metrics: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """Return the epoch and the metrics of a report as plain numbers.

    Raises:
        InvalidFigure: if the epoch is no integer, a metric no number, or a name not printable.
    """
    if positional:
        raise InvalidFigure(
            f"a report must be given by name: got {_shown(positional[0])}. Call report(epoch=1, train_loss=0.5)."
        )
    number = _to_integer("an epoch", epoch)
    if len(metrics) > MAX_METRICS:
        raise InvalidFigure(
            f"an epoch has at most {MAX_METRICS} metrics: got {len(metrics)}. Report their mean, or fewer."
        )
    for name in metrics:
        if not (0 < len(name) <= NAME_CHARACTERS and name.isprintable()):
            raise InvalidFigure(
                f"the name of a metric must have 1 to {NAME_CHARACTERS} printable characters: got {_shown(name)}. "
                "Rename it."
            )
    return number, {str(name): _to_number(f"metric {name}", value) for name, value in metrics.items()}


def check_result(result: Any, run: str) -> Result:
    """Return the result of a recipe with plain numbers; ``run`` names the function that returned it.

    Raises:
        InvalidFigure: if it is no Result, or its fields are no numbers.
    """
    if not isinstance(result, Result):
        raise InvalidFigure(f"{run} must return a Result: got {_shown(result)}. Return Result(value=…).")
    counts = {
        name: None if count is None else _to_integer(f"the number of {name} that {run} returns", count)
        for name, count in (("samples", result.samples), ("classes", result.classes))
    }
    return Result(value=_to_number(f"the value that {run} returns", result.value), **counts)


def _to_integer(what: str, value: Any) -> int:
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except Exception:
        number = None
    if number is None or not 0 <= number <= LARGEST_INTEGER:
        raise InvalidFigure(
            f"{what} must be an integer from 0 to {LARGEST_INTEGER}: got {_shown(value)}. Pass an int in this range."
        )
    return number


def _to_number(what: str, value: Any) -> float:
    try:
        if not isinstance(value, str | bytes | bytearray):  # float() would parse them
            return float(value)
    except Exception as error:
        if is_out_of_memory(error):  # CUDA reports late, e.g. when a tensor is read
            raise
    raise InvalidFigure(f"{what} must be a number: got {_shown(value)}. Convert it with float().")


def _shown(value: object) -> str:
    """Return a value as text, whatever its ``repr`` does."""
    try:
        return repr(value)[:SHOWN_CHARACTERS]
    except Exception:  # e.g. of an integer with too many digits
        return f"something of type {type(value).__qualname__}"
