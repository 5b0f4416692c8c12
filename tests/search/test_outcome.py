"""How a trial ended, in words."""

from __future__ import annotations

import pytest

from search.outcome import CAUSES, RUNS_AGAIN, last_line


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


def test_every_cause_has_a_sentence_that_says_whether_the_trial_runs_again() -> None:
    assert set(RUNS_AGAIN) < set(CAUSES)
    assert {cause for cause, said in CAUSES.items() if "runs again" in said} == set(RUNS_AGAIN)
