"""The metrics of one trial by epoch."""

from __future__ import annotations

from itertools import pairwise

import pytest

from search.views import EpochView
from service.charts import trial_chart


@pytest.mark.parametrize(("epochs", "drawn"), [(2, 2), (300, 300), (301, 151), (10_000, 295)])
def test_of_very_many_epochs_a_trial_shows_as_many_as_a_line_can_with_the_last(epochs: int, drawn: int) -> None:
    reported = [EpochView(epoch=n, values={"validation_accuracy": n / epochs}) for n in range(1, epochs + 1)]
    (line,) = trial_chart(reported, "accuracy").data
    assert (len(line["x"]), line["x"][-1], line["y"][-1]) == (drawn, epochs, 1.0)
    assert len({after - before for before, after in pairwise(line["x"])}) == 1, "evenly"
