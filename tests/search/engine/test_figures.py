"""What a recipe may report and return: whatever converts to a number, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from search.engine.figures import InvalidFigure, check_report, check_result
from trainers.trial import Result


class Unprintable:
    """Neither a number nor a text."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __float__(self) -> float:
        raise RuntimeError("no float")


@pytest.mark.parametrize("epoch", [3, np.int64(3), np.array(3), torch.tensor(3)])
def test_any_integer_is_an_epoch(epoch: Any) -> None:
    number, _ = check_report((), epoch, {})
    assert (number, type(number)) == (3, int)


@pytest.mark.parametrize(
    "epoch",
    [
        0.5,
        1.0,
        -1,
        2**31,
        2**70,
        pytest.param(10**5000, id="digits without end"),
        True,
        "3",
        None,
        math.nan,
        torch.tensor(3.0),
        Unprintable(),
    ],
)
def test_nothing_else_is(epoch: Any) -> None:
    with pytest.raises(InvalidFigure, match=r"an epoch must be an integer from 0 to 2147483647: got .*Pass an int"):
        check_report((), epoch, {})


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), torch.tensor([[0.5]])])
def test_whatever_converts_is_a_metric(value: Any) -> None:
    _, figures = check_report((), 1, {"loss": value})
    assert (figures, type(figures["loss"])) == ({"loss": 0.5}, float)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_so_is_what_is_not_finite(value: float) -> None:
    _, figures = check_report((), 1, {"loss": value})
    assert repr(figures["loss"]) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        "0.5",
        b"0.5",
        None,
        1j,
        10**400,
        pytest.param(10**5000, id="digits without end"),
        torch.ones(2),
        [],
        {},
        lambda: 1,
        Unprintable(),
    ],
)
def test_a_metric_that_does_not_convert_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidFigure, match=r"metric loss must be a number: got .*Convert it with float\(\)"):
        check_report((), 1, {"loss": value})


def test_running_out_of_memory_while_a_metric_converts_is_not_taken_for_a_wrong_metric() -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch names it."""

    class Tensor:
        def __float__(self) -> float:
            raise OutOfMemoryError

    with pytest.raises(OutOfMemoryError):
        check_report((), 1, {"loss": Tensor()})


@pytest.mark.parametrize("name", ["", "x" * 101, "a\0b", "\ud800", "two\nlines"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InvalidFigure, match=r"the name of a metric must have 1 to 100 printable characters: got "):
        check_report((), 1, {name: 0.5})


def test_too_many_metrics_are_refused() -> None:
    check_report((), 1, {f"m{number}": 0.5 for number in range(100)})
    with pytest.raises(InvalidFigure, match="an epoch has at most 100 metrics: got 101"):
        check_report((), 1, {f"m{number}": 0.5 for number in range(101)})


def test_a_report_without_names_is_refused() -> None:
    with pytest.raises(InvalidFigure, match=r"a report must be given by name: got 1\. Call report"):
        check_report((1, 0.5), None, {})


def test_a_result_is_taken_as_plain_numbers() -> None:
    result = check_result(Result(value=torch.tensor(0.5), samples=np.int64(10), classes=torch.tensor(2)), "planted:run")
    assert result == Result(value=0.5, samples=10, classes=2)
    assert [type(part) for part in (result.value, result.samples, result.classes)] == [float, int, int]


@pytest.mark.parametrize("result", [None, 0.5, (0.5,), {"value": 0.5}, Result, Unprintable()])
def test_a_result_of_another_type_is_refused(result: Any) -> None:
    with pytest.raises(InvalidFigure, match="planted:run must return a Result: got "):
        check_result(result, "planted:run")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("value", "0.9", "the value that planted:run returns must be a number: got '0.9'"),
        ("value", None, "the value that planted:run returns must be a number: got None"),
        ("value", 10**400, "the value that planted:run returns must be a number: got 1000"),
        ("value", torch.ones(2), "the value that planted:run returns must be a number: got tensor"),
        ("samples", -1, "the number of samples that planted:run returns must be an integer from 0"),
        ("samples", 1e3, "the number of samples that planted:run returns must be an integer from 0"),
        ("samples", 2**2000, "the number of samples that planted:run returns must be an integer from 0"),
        ("classes", "10", "the number of classes that planted:run returns must be an integer from 0"),
        ("classes", True, "the number of classes that planted:run returns must be an integer from 0"),
    ],
)
def test_a_result_with_a_field_that_is_no_number_is_refused(field: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidFigure, match=words):
        check_result(Result(**{"value": 0.9, field: value}), "planted:run")
