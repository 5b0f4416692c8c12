"""Flags, and how a later command finds the same place. Whole commands are in tests/search/test_cli.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from search.cli import root
from search.cli.app import app, program
from search.cli.flags import parse_integers
from search.cli.output import print_json
from search.vocabulary.errors import InvalidSpec


@pytest.mark.parametrize(("text", "numbers"), [("1,2,4", [1, 2, 4]), (" 8 ", [8]), ("4, 1", [4, 1]), ("", [])])
def test_whole_numbers_are_read_with_commas(text: str, numbers: list[int]) -> None:
    assert parse_integers("--gm", text) == numbers


@pytest.mark.parametrize("text", ["one", "1,,2", "1.5", "1;2"])
def test_what_is_no_list_of_whole_numbers_is_refused(text: str) -> None:
    with pytest.raises(
        InvalidSpec, match=r"^--gm must be whole numbers separated by commas: got .*\. Give e\.g\. --gm 1,2,4\.$"
    ):
        parse_integers("--gm", text)


def test_a_later_command_is_called_as_this_one_was_with_the_place_it_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called = tmp_path / "seqnorm"
    called.write_text("#!/bin/sh\n")
    called.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(called), "list"])
    monkeypatch.setattr(root._global_options, "home", Path("a folder"))
    assert program() == f"{called} --home 'a folder'"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == "seqnorm --home 'a folder'", "as the shell finds it"


def test_what_is_printed_as_json_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"gm": [1, 2], "mean": None})
    assert capsys.readouterr().out == '{"gm": [1, 2], "mean": null}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"mean": float("nan")})


def test_every_command_that_the_program_has_is_documented_in_its_help() -> None:
    commands = {command.name or command.callback.__name__: command.callback for command in app.registered_commands}
    assert {"tune", "grid", "resume", "submit", "worker", "watch", "pause", "cancel", "retry", "serve"} <= set(commands)
    assert [name for name, callback in commands.items() if not callback.__doc__] == []
