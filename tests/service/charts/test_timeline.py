"""When each trial ran, and where."""

from __future__ import annotations

from typing import Any

from search.views import TrialLocation, TrialRow
from service.charts import timeline_chart
from tests.search.examples import example
from tests.service.charts.traces import traces

NOON = 1_800_000_000.0


def trial(number: int, start: float, seconds: float | None, cause: str | None = "finished", **more: Any) -> TrialRow:
    fields: dict[str, Any] = {"stage": "gm", "number": number, "where": TrialLocation(host="a"), "cause": cause, **more}
    return example(TrialRow, started_at=NOON + start, seconds=seconds, **fields)


def test_trials_that_ran_at_once_have_a_row_each_and_rows_are_used_again() -> None:
    trials = [trial(0, 0, 10), trial(1, 5, 10), trial(2, 11, 2, "raised"), trial(3, 20, None, None)]
    drawn = timeline_chart(trials, NOON + 25)
    assert drawn.layout["yaxis"]["ticktext"] == ["a · 1", "a · 2"]
    bars = traces(drawn)
    assert bars["gm"]["y"] == [0, 1, 0]
    assert bars["gm"]["x"] == [10_000, 10_000, 5_000]
    assert bars["gm, failed or cancelled"]["x"] == [2_000]


def test_what_was_reused_ran_elsewhere() -> None:
    drawn = timeline_chart([trial(0, 0, 10), trial(1, 1, 10, reused_from="parent/gm/1")], NOON)
    assert [trace["x"] for trace in drawn.data] == [[10_000]]
    assert timeline_chart([], NOON).data == []


def test_a_trial_that_no_process_has_yet_is_shown_as_starting() -> None:
    drawn = timeline_chart([trial(0, 0, None, None, where=None)], NOON + 1)
    assert drawn.layout["yaxis"]["ticktext"] == ["starting · 1"]
