"""The line that runs a command by hand with one point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from search.actions.by_hand import write_line
from search.plan.selection import Point
from trainers.commands.command import Command

POINT = Point("main", 4, 2)


def line(*words: str, here: str = "/w", numbers: dict[str, object] | None = None) -> str:
    command = Command(words=words, folder="/w", files=("/w/train.py",))
    return write_line(command, POINT, numbers or {}, 7, Path(here))


@pytest.mark.parametrize(
    ("written", "words", "numbers"),
    [
        (
            f"SEQNORM_GM=4 SEQNORM_GC=2 {sys.executable} train.py --lr 0.1",
            (sys.executable, "/w/train.py", "--lr", "{lr}"),
            {"lr": 0.1},
        ),
        (
            "sh a.sh 4 2 7 validation 'it'\"'\"'s'",
            ("/usr/bin/sh", "a.sh", "{gm}", "{gc}", "{seed}", "{split}", "it's"),
            {},
        ),
        ("mkdir -p gm4-gc2 && SEQNORM_GC=2 sh --gm=4 gm4-gc2/x", ("/usr/bin/sh", "--gm={gm}", "{folder}/x"), {}),
    ],
)
def test_placeholders_are_filled_and_variables_say_the_rest(
    written: str, words: tuple[str, ...], numbers: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert line(*words, numbers=numbers) == written


def test_in_another_folder_it_goes_to_that_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert line("/usr/bin/sh", "{gm}", "{gc}", here="/") == "cd /w && sh 4 2"
