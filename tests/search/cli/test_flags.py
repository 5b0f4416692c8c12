"""Flags generated from the fields of a search."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from search.cli.app import app
from search.cli.flags import GridCommand, TuneCommand, parse_integers
from search.plan.fields import spec_fields
from search.vocabulary.errors import InvalidSpec


def given(command: type[TuneCommand], *words: str) -> dict[str, Any]:
    """Return what a command finds when it is called with some words."""
    app, found = typer.Typer(), {}

    @app.command(cls=command)
    def run(context: typer.Context, recipe: Annotated[str, typer.Argument()] = "") -> None:
        found.update(context.obj, recipe=recipe)

    CliRunner().invoke(app, ["planted", *words], catch_exceptions=False, standalone_mode=False)
    return found


def test_every_field_has_a_flag_but_those_that_a_command_draws_itself() -> None:
    flags = {param.name for param in command_of(TuneCommand).get_params(CONTEXT)}
    assert {field.name for field in spec_fields()} - flags == {"recipe", "data"}


def test_only_flags_that_are_given_are_fields_so_that_a_file_keeps_its_own() -> None:
    assert given(TuneCommand) == {"recipe": "planted"}
    assert given(TuneCommand, "--gm", "1,2", "--seeds", "3") == {"recipe": "planted", "gm": [1, 2], "seeds": 3}


def test_each_kind_is_read_as_its_field_takes_it() -> None:
    words = ["--gm", "1", "--gc", "2", "--seeds", "5", "--tolerance", "0.5", "--cpus", "0.5"]
    words += ["--tags", "a, b", "--tag", "c"]
    found = given(TuneCommand, *words, "--gm-rule", "best-mean", "--concurrency", "3")
    assert (found["seeds"], found["tolerance"], found["cpus"], found["tags"]) == (5, 0.5, 0.5, ["a", "b", "c"])
    assert (found["gm_rule"], found["concurrency"]) == ("best-mean", 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gm", "one"], "--gm must be whole numbers separated by commas: got 'one'. Give e.g. --gm 1,2,4."),
        (["--tolerance", "some"], "--tolerance must be a number or auto: got 'some'. Give e.g. --tolerance 0.002."),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_name_of_the_flag(words: list[str], said: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        given(TuneCommand, "--gm", "1", "--gc", "1", *words)
    assert str(error.value) == said


def test_a_grid_has_one_rule_and_is_its_own_strategy() -> None:
    found = given(GridCommand, "--gm", "1", "--gc", "0,1", "--rule", "largest-stable")
    assert found["gc_rule"] == "largest-stable"
    assert {"strategy", "gm_rule"} & found.keys() == set()


def test_a_plan_takes_the_flags_of_the_search_that_it_counts() -> None:
    plan, tune = (get_command(app).commands[name] for name in ("plan", "tune"))  # type: ignore[attr-defined]
    flags = {command: {param.name for param in command.get_params(CONTEXT)} for command in (plan, tune)}
    assert flags[tune] - flags[plan] == {"download"}


def test_whole_numbers_are_read_with_commas() -> None:
    assert parse_integers("--gm", " 4, 1") == [4, 1]


def command_of(command: type[TuneCommand]) -> TuneCommand:
    return command("tune", callback=lambda: None)


CONTEXT: Any = typer.Context(command_of(TuneCommand))
