"""Further axes as they are typed."""

from __future__ import annotations

import pytest

from search.cli.further_axes import read_axes, read_values, with_first_values
from search.vocabulary.errors import InvalidSpec


def test_an_axis_is_a_name_with_its_values() -> None:
    assert read_axes(["lr=0.1, 0.2", "optimizer=sgd,adam"]) == {"lr": ["0.1", "0.2"], "optimizer": ["sgd", "adam"]}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ["lr"],
            "--vary must be NAME=VALUE,VALUE: got 'lr', no values. Give e.g. --vary lr=0.05,0.1,0.2.",
        ),
        (
            ["=1"],
            "--vary must be NAME=VALUE,VALUE: got '=1', no name. Give e.g. --vary learning_rate=0.05,0.1,0.2.",
        ),
        (
            ["lr=1,"],
            "--vary must be NAME=VALUE,VALUE: got 'lr=1,', an empty value. Give e.g. --vary lr=0.05,0.1,0.2.",
        ),
        (["lr=1", "lr=2"], "--vary must give an axis once: got lr twice. List all of its values in one."),
    ],
)
def test_a_stray_axis_says_what_is_missing(given: list[str], sentence: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        read_axes(given)
    assert str(error.value) == sentence


def test_values_of_a_command_are_fractions_if_one_is_and_else_what_they_look_like() -> None:
    assert repr(read_values(["1", "0.5"])) == "[1.0, 0.5]"
    assert repr(read_values(["1", "2"])) == "[1, 2]"
    assert read_values(["true", "false"]) == [True, False]
    assert read_values(["sgd", "2"]) == ["sgd", 2]


def test_a_command_starts_from_the_first_value_unless_it_has_a_number() -> None:
    assert with_first_values({"lr": 1}, {"lr": [2, 3], "decay": [4, 5]}) == {"lr": 1, "decay": 4}
