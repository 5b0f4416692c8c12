"""Several searches over one another."""

from __future__ import annotations

import pytest

from search.views import MeasuredView, SearchView, StageView
from service.charts import compare_chart, compare_test_chart
from tests.search.examples import example


def test_searches_are_drawn_over_one_another_by_point_and_by_part() -> None:
    figures = {"mean": 0.9, "sem": 0.01, "n": 3, "failed": 0}
    row = example(MeasuredView, variant="main", gm=2, gc=0, **figures, labels=("chosen GhostNorm",))
    stages = [example(StageView, candidates=[row])]
    both = [example(SearchView, search=name, name="", test=[row], stages=stages) for name in ("one", "two")]
    assert [(trace["name"], trace["x"]) for trace in compare_chart(both).data] == [
        ("one", ["gm=2, gc=0"]),
        ("two", ["gm=2, gc=0"]),
    ]
    test = compare_test_chart(both).data
    assert compare_test_chart(both).layout["yaxis"]["range"] == pytest.approx([0.846, 0.954]), "not from 0"
    assert [trace["x"] for trace in test] == [["chosen GhostNorm"]] * 2
    assert [trace["customdata"] for trace in test] == [
        [["0.9000 (n=3, standard error 0.0100)", name]] for name in ("one", "two")
    ]
