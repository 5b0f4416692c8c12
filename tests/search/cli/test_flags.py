"""Flags generated from the fields of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from search.cli.app import app
from search.cli.flags import GridCommand, SearchArguments, TuneCommand, complete_recipe_or_script, parse_integers
from search.plan.fields import spec_fields
from search.vocabulary.errors import InvalidSpec


def given(command: type[TuneCommand], *words: str) -> SearchArguments:
    """Return what a command finds when it is called with some words."""
    app, found = typer.Typer(), []

    @app.command("tune", cls=command)
    def run(context: typer.Context) -> None:
        found.append(context.obj)

    CliRunner().invoke(app, [*words], prog_name="tune", catch_exceptions=False, standalone_mode=False)
    (arguments,) = found
    return cast(SearchArguments, arguments)


def fields(command: type[TuneCommand], *words: str) -> dict[str, Any]:
    return given(command, *words).fields


def test_every_field_has_a_flag() -> None:
    flags = {param.name for param in command_of(TuneCommand).get_params(CONTEXT)}
    assert {field.name for field in spec_fields()} <= flags


def test_only_flags_that_are_given_are_fields_so_that_a_file_keeps_its_own() -> None:
    assert given(TuneCommand) == SearchArguments()
    assert fields(TuneCommand, "planted", "--gm", "1,2", "--seeds", "3") == {"gm": [1, 2], "seeds": 3}


def test_flags_of_a_program_are_kept_apart_with_the_words_after_the_dashes_as_they_are() -> None:
    words = ["train.py", "--mode", "max", "--code", "a.py", "--code", "b.py", "--set", "lr=1", "--"]
    found = given(TuneCommand, *words, "--gm", "{gm}", "--", "-h", "--json")
    assert found == SearchArguments(
        recipe="train.py",
        words=("--gm", "{gm}", "--", "-h", "--json"),
        set_=["lr=1"],
        program={"mode": "max", "code": ["a.py", "b.py"]},
    )
    assert given(TuneCommand, "--gm", "1", "--").words == ()


def test_each_kind_is_read_as_its_field_takes_it() -> None:
    words = ["--gm", "1", "--gc", "2", "--seeds", "5", "--tolerance", "0.5", "--cpus", "0.5", "--rounds", "1"]
    words += ["--tags", "a, b", "--tag", "c"]
    found = fields(TuneCommand, *words, "--gm-rule", "best-mean", "--concurrency", "3")
    assert (found["seeds"], found["tolerance"], found["cpus"], found["tags"]) == (5, 0.5, 0.5, ["a", "b", "c"])
    assert (found["gm_rule"], found["concurrency"], repr(found["rounds"])) == ("best-mean", 3, "1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gm", "one"], "--gm must be whole numbers separated by commas: got 'one'. Give e.g. --gm 1,2,4."),
        (
            ["--rounds", "two"],
            "--rounds must be a number or until-settled: got 'two'. Give e.g. --rounds until-settled.",
        ),
        (["--tolerance", "some"], "--tolerance must be a number or auto: got 'some'. Give e.g. --tolerance auto."),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_name_of_the_flag(words: list[str], said: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        given(TuneCommand, "--gm", "1", "--gc", "1", *words)
    assert str(error.value) == said


def test_a_grid_has_one_rule_and_is_its_own_strategy() -> None:
    found = fields(GridCommand, "--gm", "1", "--gc", "0,1", "--rule", "largest-stable")
    assert found["gc_rule"] == "largest-stable"
    assert {"strategy", "gm_rule"} & found.keys() == set()


def test_a_plan_takes_the_flags_of_the_search_that_it_counts() -> None:
    plan, tune = (get_command(app).commands[name] for name in ("plan", "tune"))  # type: ignore[attr-defined]
    flags = {command: {param.name for param in command.get_params(CONTEXT)} for command in (plan, tune)}
    assert flags[tune] - flags[plan] == {"download"}


def test_a_shell_completes_recipes_scripts_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    for name in ("digits/fit.py", "dim.py", "notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert complete_recipe_or_script("di") == ["digits-mlp", "dim.py", "digits/"]
    assert complete_recipe_or_script("digits/") == ["digits/fit.py"]
    assert complete_recipe_or_script("absent/") == []


def test_whole_numbers_are_read_with_commas() -> None:
    assert parse_integers("--gm", " 4, 1") == [4, 1]


def command_of(command: type[TuneCommand]) -> TuneCommand:
    return command("tune", callback=lambda: None)


CONTEXT: Any = typer.Context(command_of(TuneCommand))
