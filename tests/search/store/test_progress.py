"""The time left, from what trials have done and how many run at the same time."""

from __future__ import annotations

import pytest

from search.store.progress import estimate_seconds_left
from search.views import EpochProgress


@pytest.mark.parametrize(
    ("planned", "finished", "done", "slots", "seconds"),
    [
        (17, 0, 0.0, 1, 1700),
        (17, 0, 0.5, 2, 825),
        (17, 16, 0.75, 4, 25),  # one trial uses one slot
        (17, 17, 0.0, 4, 0),
        (4, 2, 3.0, 2, 0),
    ],
)
def test_the_time_left_is_that_of_what_is_not_done_over_the_slots_in_use(
    planned: int, finished: int, done: float, slots: int, seconds: float
) -> None:
    running = EpochProgress(low=1, high=1, planned=4, done=done, seconds_per_trial=None)
    assert estimate_seconds_left(planned, finished, running, 100.0, slots) == seconds
