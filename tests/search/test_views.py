"""Views: frozen, JSON both ways, and what the store keeps in them is read without a recipe."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
from pydantic import ValidationError

from search import views
from search.plan.selection import Candidate, Point, summarize
from search.settings import Settings
from search.store import queries
from search.store.database import open_engine
from search.views import CandidateView, EventView, ExportRow, MeasuredView, ResultView, View
from search.vocabulary.states import Cause, EventKind
from tests.search.examples import example
from tests.search.stored import finished_search, show
from trainers import recipe as recipes

EVERY = [
    each
    for _, each in inspect.getmembers(views, inspect.isclass)
    if issubclass(each, View) and each is not View and not each.__name__.startswith("_")
]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_view_is_frozen_and_the_same_after_a_journey_as_json(kind: type[View]) -> None:
    view = example(kind)
    assert kind.model_validate_json(view.model_dump_json()) == view
    with pytest.raises(ValidationError, match="frozen"):
        setattr(view, next(iter(kind.model_fields)), None)


def test_the_id_of_a_search_is_named_search_everywhere() -> None:
    about_searches = (views.SearchRow, views.SearchView, views.SearchState, views.RunningView, views.WaitingView)
    for kind in (*about_searches, views.ResultView, views.WorkerView, views.WebhookView):
        assert "search" in kind.model_fields
        assert "search_id" not in kind.model_fields
    assert all("id" not in kind.model_fields for kind in about_searches)


def test_a_figure_that_is_not_finite_is_null() -> None:
    view = CandidateView.from_candidate(Candidate(gm=1, gc=0, mean=math.nan, std=math.inf, n=2))
    assert (view.mean, view.std, view.sem, view.point) == (None, None, None, Point("main", 1, 0))
    odd = view.model_copy(update={"mean": math.nan})
    assert CandidateView.model_validate_json(odd.model_dump_json()).mean is None


def test_a_measured_point_has_its_parts() -> None:
    view = MeasuredView.from_test_candidate(
        Candidate(gm=1, gc=0, mean=0.9, std=0.1, n=4, values={0: 0.9}), ["BatchNorm"]
    )
    assert (view.mean, view.sem, view.labels) == (0.9, 0.05, ("BatchNorm",))


def test_numbers_are_told_as_each_stage_trains_with_them() -> None:
    view = example(views.SearchView)
    spec = view.spec.model_copy(update={"test_numbers": {"epochs": 250}})
    known = view.model_copy(update={"spec": spec, "numbers": {"main": {"epochs": 50, "batch": 8}}})
    assert known.numbers_of("main", "gm") == {"epochs": 50, "batch": 8}
    assert known.numbers_of("main", "test") == {"epochs": 250, "batch": 8}
    assert known.numbers_of("other", "test") == {}


def test_a_result_is_the_part_of_a_search_that_commands_print(settings: Settings) -> None:
    shown = show(settings.database_url, finished_search(settings.database_url, gm=[4, 8], gc=[1], seeds=2))
    result = ResultView.from_search(shown).model_dump(mode="json")
    assert list(result) == ["search", "status", "strategy", "chosen", "stages", "test", "trials"]
    assert result["chosen"] == {"variant": "main", "gm": 8, "gc": 1}
    assert set(result["trials"]) == {"run", "reused", "failed"}
    candidate = result["stages"][0]["candidates"][0]
    assert {"variant", "gm", "gc", "mean", "std", "sem", "n", "failed"} <= set(candidate)


def test_every_event_that_happens_to_a_search_has_its_fields(settings: Settings) -> None:
    search_id = finished_search(settings.database_url, gm=[8], gc=[4], seeds=1)
    with open_engine(settings.database_url, read_only=True).connect() as connection:
        events = queries.list_events(connection, search_id, limit=1000)
    told = {event.kind: event for event in events}
    assert told[EventKind.DECIDED].sentence
    assert told[EventKind.TRIAL].what == Cause.FINISHED
    assert all(event.model_fields_set > {"id", "at", "kind"} for event in events if event.kind != EventKind.SUBMITTED)
    assert EventView.model_validate_json(events[-1].model_dump_json(exclude_unset=True)) == events[-1]


def test_a_row_of_an_export_is_a_part_of_its_trial(settings: Settings) -> None:
    search_id = finished_search(settings.database_url, gm=[8], gc=[4], seeds=1)
    with open_engine(settings.database_url, read_only=True).connect() as connection:
        trial, *_ = queries.list_trials(connection, search_id)
    assert {name: getattr(trial, name) for name in ExportRow.model_fields} == ExportRow.from_trial(trial).model_dump()


def test_a_candidate_that_is_not_decided_has_its_figures_and_no_verdict() -> None:
    view = CandidateView.from_candidate(summarize(Point("main", 8, 4), [0.5, 0.7], failed=1))
    assert (view.point, view.n, view.failed) == (Point("main", 8, 4), 2, 1)
    assert view.sem == pytest.approx(0.1)
    assert (view.stable, view.eligible, view.chosen, view.why) == (None, None, False, None)


@pytest.mark.parametrize(
    ("recipe", "metric", "mode"), [("planted", "accuracy", "max"), ("planted-loss", "loss", "min")]
)
def test_a_search_is_read_where_its_recipe_is_not_installed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, recipe: str, metric: str, mode: str
) -> None:
    search_id = finished_search(settings.database_url, recipe=recipe, gm=[1, 8], gc=[1, 4])
    before = show(settings.database_url, search_id)
    monkeypatch.setattr(recipes, "installed", tuple)
    shown = show(settings.database_url, search_id)
    assert shown == before
    assert (shown.metric, shown.mode) == (metric, mode)
    assert shown.chosen == Point("main", 8, 4)
    with open_engine(settings.database_url, read_only=True).connect() as connection:
        assert queries.read_metric(connection, search_id) == (metric, mode)
        assert queries.learning_curves(connection, search_id, "gm", queries.read_metric(connection, search_id)[1])


def test_fields_of_a_newer_version_are_passed_over() -> None:
    known: dict[str, Any] = example(views.SearchState).model_dump(mode="json")
    assert views.SearchState.model_validate({**known, "tomorrow": 1}) == example(views.SearchState)
