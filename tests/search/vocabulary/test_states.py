"""The closed sets of the program."""

from __future__ import annotations

import json

import pytest

from search.vocabulary.states import Cause, EventKind, Status


@pytest.mark.parametrize(
    ("status", "active", "ended"),
    [
        (Status.QUEUED, True, False),
        (Status.RUNNING, True, False),
        (Status.PAUSED, False, False),
        (Status.DONE, False, True),
        (Status.FAILED, False, True),
        (Status.CANCELLED, False, True),
    ],
)
def test_a_search_waits_or_runs_or_rests_or_has_ended(status: Status, active: bool, ended: bool) -> None:
    assert (status.active, status.ended) == (active, ended)


def test_members_are_written_as_their_words() -> None:
    assert f"{Status.DONE} {Cause.OUT_OF_MEMORY}" == "done out_of_memory"
    assert json.loads(json.dumps({"kind": EventKind.CHANGE_ACCEPTED})) == {"kind": "change accepted"}
