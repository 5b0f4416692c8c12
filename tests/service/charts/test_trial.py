"""The metrics of one trial by epoch."""

from __future__ import annotations

from itertools import pairwise

import pytest

from search.views import EpochView
from service.charts import trial_chart
from tests.service.charts.traces import traces


@pytest.mark.parametrize(("epochs", "drawn"), [(2, 2), (300, 300), (301, 151), (10_000, 295)])
def test_of_very_many_epochs_a_trial_shows_as_many_as_a_line_can_with_the_last(epochs: int, drawn: int) -> None:
    reported = [EpochView(epoch=n, values={"validation_accuracy": n / epochs}) for n in range(1, epochs + 1)]
    (line,) = trial_chart(reported, "accuracy").data
    assert (len(line["x"]), line["x"][-1], line["y"][-1]) == (drawn, epochs, 1.0)
    assert len({after - before for before, after in pairwise(line["x"])}) == 1, "evenly"


def test_losses_have_an_axis_of_their_own_and_what_is_no_number_is_left_out() -> None:
    reported = [
        EpochView(epoch=1, values={"validation_accuracy": 0.5, "train_loss": "nan", "seconds": 3.0}),
        EpochView(epoch=2, values={"validation_accuracy": 0.6, "train_loss": 0.7, "seconds": 3.0}),
    ]
    drawn = traces(trial_chart(reported, "accuracy"))
    assert {name: line["yaxis"] for name, line in drawn.items()} == {"validation_accuracy": "y", "train_loss": "y2"}
    assert (drawn["train_loss"]["x"], drawn["train_loss"]["y"]) == ([2], [0.7])
