"""Several searches over one another."""

from __future__ import annotations

from search.views import MeasuredView, SearchView, StageView
from service.charts import compare_chart, compare_test_chart
from tests.search.examples import example


def test_searches_are_drawn_over_one_another_by_point_and_by_part() -> None:
    row = example(MeasuredView, gm=2, gc=0, mean=0.9, labels=("chosen GhostNorm",))
    stages = [example(StageView, candidates=[row])]
    both = [example(SearchView, search=name, name="", test=[row], stages=stages) for name in ("one", "two")]
    assert [(trace["name"], trace["x"]) for trace in compare_chart(both).data] == [
        ("one", ["gm=2, gc=0"]),
        ("two", ["gm=2, gc=0"]),
    ]
    assert [trace["x"] for trace in compare_test_chart(both).data] == [["chosen GhostNorm"]] * 2
