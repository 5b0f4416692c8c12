"""Trials lie in Optuna's tables as Optuna itself would have written them."""

from __future__ import annotations

import math

import optuna
from sqlalchemy import text

from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store.trials import add_intermediate_values
from tests.search.stored import finished_search, open_recorder, show, submit


def test_stock_optuna_opens_every_study(database_url: str) -> None:
    search_id = finished_search(database_url)
    for stage, count in (("gm", 15), ("gc", 9), ("test", 12)):
        study = optuna.load_study(study_name=f"{search_id}/{stage}", storage=database_url)
        assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * count
        trial = study.trials[0]
        assert set(trial.params) == {"gm", "gc", "seed"}
        assert trial.user_attrs["group_size"] in (None, 64 // max(1, trial.params["gm"]))
        assert trial.intermediate_values == {1: trial.value}
        assert study.direction.name == "MAXIMIZE"


def test_a_loss_is_minimised(database_url: str) -> None:
    search_id = finished_search(database_url, recipe="planted-loss")
    shown = show(database_url, search_id)
    assert shown.chosen == Point("main", 8, 4)
    assert "gc=4 has the lowest mean" in shown.stages[1].sentence
    assert optuna.load_study(study_name=f"{search_id}/gc", storage=database_url).direction.name == "MINIMIZE"


VALUES = {1: 0.5, 2: math.inf, 3: -math.inf, 4: math.nan, 5: 5e-324, 6: 1.7e308}


def test_intermediate_values_are_stored_as_optuna_stores_them(database_url: str) -> None:
    recorder = open_recorder(database_url, search_id := submit(database_url))
    recorder.open(recorder._plan.build_stage("gm", []))
    ours, theirs = (recorder.start(Replicate("gm", Point("main", 1, 0), seed)) for seed in (0, 1))
    with recorder.engine.begin() as connection:
        add_intermediate_values(connection, ours, VALUES)
        add_intermediate_values(connection, ours, {1: 0.25})  # as in Optuna, the first report of a step stands
    study = optuna.load_study(study_name=f"{search_id}/gm", storage=database_url)
    for step, value in VALUES.items():
        study._storage.set_trial_intermediate_value(theirs, step, value)
    rows = (
        "SELECT step, intermediate_value, intermediate_value_type FROM trial_intermediate_values WHERE trial_id = :id"
    )
    with recorder.engine.begin() as connection:
        stored = [connection.execute(text(f"{rows} ORDER BY step"), {"id": id}).all() for id in (ours, theirs)]
    assert stored[0] == stored[1]
    read = [trial.intermediate_values for trial in study.get_trials()]
    assert repr(read[0]) == repr(read[1]) == repr(VALUES)


def test_stock_optuna_dashboard_lists_the_studies(database_url: str) -> None:
    import json

    import optuna
    from optuna_dashboard import wsgi

    search_id = finished_search(database_url)
    storage = optuna.storages.RDBStorage(database_url)
    answered: list[str] = []
    body = b"".join(
        wsgi(storage)(
            {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": "/api/studies",
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
                "wsgi.input": None,
                "wsgi.url_scheme": "http",
            },
            lambda status, headers, *_: answered.append(status),
        )
    )
    storage.engine.dispose()
    names = {study["study_name"] for study in json.loads(body)["study_summaries"]}
    assert answered == ["200 OK"]
    assert names >= {f"{search_id}/{stage}" for stage in ("gm", "gc", "test")}
