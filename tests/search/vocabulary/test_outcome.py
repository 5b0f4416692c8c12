"""How a trial ended."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest

from search.vocabulary.outcome import Outcome, is_comparable, last_line, printable
from search.vocabulary.states import Cause
from trainers.commands.endings import with_last_lines


@pytest.mark.parametrize(
    ("detail", "end"),
    [
        ("", ""),
        ("\n \n", ""),
        ("the loss is nan", "the loss is nan"),
        ("Traceback:\n  File a\nValueError: no\n\n", "ValueError: no"),
        ("x" * 900, "x" * 500),
        (
            '  File "a.py", line 3, in f\n    call()\n    ^^^^^^\nCudaError: lost\nCompile with DSA.\n',
            "CudaError: lost",
        ),
        ('A\n  File "a.py", line 3\nKeyError: 1\n\nDuring\n  File "b.py", line 9, in g\nE: 2', "E: 2"),
        (
            '  File "a.py", line 3, in f\nE: (x) no\n[SQL: a\nb]\n(Background on this error at: https://x/e3q8)',
            "E: (x) no",
        ),
    ],
)
def test_of_a_traceback_its_exception_is_said_in_a_line(detail: str, end: str) -> None:
    assert last_line(detail) == end


@pytest.mark.parametrize("printed", ["", "loss 1\nval_acc 0.5", '  File "a.py", line 3, in f\nKeyError: 1'])
def test_of_a_program_its_ending_is_said_and_not_what_it_printed_last(printed: str) -> None:
    sentence = "the program ended with exit code 0, but without the metric acc"
    assert last_line(with_last_lines(sentence, printed)) == sentence


def test_an_outcome_is_the_same_after_its_journey_from_a_trial() -> None:
    for outcome in (
        Outcome(value=0.5),
        Outcome(value=0.5, samples=2000),
        Outcome(cause=Cause.RAISED, detail="a fault"),
    ):
        assert Outcome.from_json(json.loads(json.dumps(asdict(outcome)))) == outcome
    assert Outcome.from_json(json.loads(json.dumps(asdict(Outcome(cause=Cause.LOST))))).runs_again


def test_what_was_cut_runs_again_and_what_failed_or_finished_does_not() -> None:
    again = {cause for cause in Cause if Outcome(cause=cause).runs_again}
    assert again == {Cause.LOST, Cause.CANCELLED}
    assert not Outcome(value=0.9).runs_again


def test_text_that_no_database_takes_is_escaped() -> None:
    assert printable("a\0b \ud800 é ☃ \U0001f600\n") == "a\\x00b \\ud800 é ☃ \U0001f600\n"

    class Text(str):
        def encode(self, *_: str) -> bytes:
            raise RuntimeError("no text")

    assert type(printable(Text("a"))) is str


def test_values_that_overflow_when_they_are_squared_are_not_compared() -> None:
    assert all(map(is_comparable, (0.0, -1e100, 1e100)))
    assert not any(map(is_comparable, (1.1e100, -1e300, math.inf, -math.inf, math.nan)))
