"""How a trial ended."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from search.vocabulary.outcome import Outcome, last_line
from search.vocabulary.states import Cause


@pytest.mark.parametrize(
    ("detail", "end"),
    [
        ("", ""),
        ("\n \n", ""),
        ("the loss is nan", "the loss is nan"),
        ("Traceback:\n  File a\nValueError: no\n\n", "ValueError: no"),
        ("x" * 900, "x" * 500),
    ],
)
def test_of_a_traceback_the_last_line_is_said(detail: str, end: str) -> None:
    assert last_line(detail) == end


def test_an_outcome_is_the_same_after_its_journey_from_a_trial() -> None:
    for outcome in (Outcome(value=0.5), Outcome(cause=Cause.RAISED, detail="a fault")):
        assert Outcome.from_json(json.loads(json.dumps(asdict(outcome)))) == outcome
    assert Outcome.from_json(json.loads(json.dumps(asdict(Outcome(cause=Cause.LOST))))).runs_again


def test_what_was_cut_runs_again_and_what_failed_or_finished_does_not() -> None:
    again = {cause for cause in Cause if Outcome(cause=cause).runs_again}
    assert again == {Cause.LOST, Cause.CANCELLED}
    assert not Outcome(value=0.9).runs_again
