"""What is read: frozen, and JSON for any figure."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from search.selection import Point, summarise
from search.settings import Settings
from search.store import queries
from search.store.database import open_engine
from search.views import CandidateView, ExportRow, MeasuredView, ResultView
from tests.search.engine import finished_search, show

SMALL = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


def test_a_candidate_that_is_not_decided_has_its_figures_and_no_verdict() -> None:
    view = CandidateView.of(summarise(Point("main", 8, 4), [0.5, 0.7], failed=1))
    assert (view.point, view.n, view.failed) == (Point("main", 8, 4), 2, 1)
    assert view.sem == pytest.approx(0.1)
    assert (view.stable, view.eligible, view.chosen, view.why) == (None, None, False, None)


def test_a_figure_that_is_not_finite_is_null() -> None:
    candidate = summarise(Point("main", 8, 4), [float("inf")], failed=0)
    assert CandidateView.of(candidate).mean is None
    row = MeasuredView.measured(candidate, ["BatchNorm"])
    assert json.loads(row.model_dump_json())["labels"] == ["BatchNorm"]
    odd = CandidateView.of(candidate).model_copy(update={"mean": float("nan")})
    assert json.loads(odd.model_dump_json())["mean"] is None


def test_a_view_is_not_changed() -> None:
    view = CandidateView.of(summarise(Point("main", 8, 4), [0.5], failed=0))
    with pytest.raises(ValidationError, match="frozen"):
        view.gm = 1  # type: ignore[misc]


def test_a_view_read_back_from_its_json_is_the_same(settings: Settings) -> None:
    shown = show(settings.database_url, finished_search(settings.database_url, **SMALL))
    assert type(shown).model_validate_json(shown.model_dump_json()) == shown
    result = ResultView.of(shown)
    assert (result.search, result.chosen, result.trials.run) == (shown.search, Point("main", 8, 4), 10)


def test_a_row_of_an_export_is_a_part_of_its_trial(settings: Settings) -> None:
    search_id = finished_search(settings.database_url, **SMALL)
    with open_engine(settings.database_url, read_only=True).connect() as connection:
        trial, *_ = queries.list_trials(connection, search_id)
    row = ExportRow.of(trial)
    assert {name: getattr(trial, name) for name in ExportRow.model_fields} == row.model_dump()
