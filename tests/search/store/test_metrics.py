"""Figures by epoch."""

from __future__ import annotations

from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store import queries
from search.store.database import open_engine
from search.store.metrics import add_metrics, copy_metrics, read_metrics
from search.views import EpochView
from tests.search.stored import open_recorder, prepare, submit


def test_metrics_keep_what_json_has_no_number_for(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    trial_id = recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    recorder.report(trial_id, {1: {"train_loss": float("inf"), "validation_accuracy": 0.25}})
    with recorder.engine.begin() as connection:
        shown = queries.show_trial(connection, search_id, "gm", 0)
    assert shown.trial_id == trial_id
    assert shown.metrics == (EpochView(epoch=1, values={"train_loss": "inf", "validation_accuracy": 0.25}),)


def test_an_epoch_that_is_stored_stays_as_it_is(settings: Settings) -> None:
    prepare(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        add_metrics(connection, 1, {2: {"train_loss": 0.4}, 1: {"train_loss": 0.5}})
        add_metrics(connection, 1, {2: {"train_loss": 9.9}, 3: {"train_loss": 0.3}})
        assert read_metrics(connection, 1) == [
            EpochView(epoch=epoch, values={"train_loss": loss}) for epoch, loss in ((1, 0.5), (2, 0.4), (3, 0.3))
        ]
        assert read_metrics(connection, 2) == []


def test_a_copy_has_the_figures_of_its_original(settings: Settings) -> None:
    prepare(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        add_metrics(connection, 1, {1: {"train_loss": 0.5}, 2: {"train_loss": 0.4}})
        add_metrics(connection, 2, {1: {"train_loss": 0.9}})
        for _ in range(2):
            copy_metrics(connection, {7: 1, 8: 2})
        assert read_metrics(connection, 7) == read_metrics(connection, 1)
        assert read_metrics(connection, 8) == [EpochView(epoch=1, values={"train_loss": 0.9})]
