"""Several searches over one another."""

from __future__ import annotations

from service.charts import compare_chart, compare_test_chart


def test_searches_are_drawn_over_one_another_by_point_and_by_part() -> None:
    row = {"gm": 2, "gc": 0, "mean": 0.9, "std": None, "n": 1, "labels": ["chosen GhostNorm"]}
    search = {"name": "", "mode": "max", "metric": "accuracy", "test": [row], "stages": [{"candidates": [row]}]}
    both = [{**search, "search": "one"}, {**search, "search": "two"}]
    assert [(trace["name"], trace["x"]) for trace in compare_chart(both)["data"]] == [
        ("one", ["gm=2, gc=0"]),
        ("two", ["gm=2, gc=0"]),
    ]
    assert [trace["x"] for trace in compare_test_chart(both)["data"]] == [["chosen GhostNorm"]] * 2
