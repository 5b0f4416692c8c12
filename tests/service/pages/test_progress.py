"""Pages say how far running trials are."""

from __future__ import annotations

import re

from search.engine.pace import ShownProgress
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import transitions
from search.vocabulary.states import Status
from tests.search.stored import open_recorder, submit
from tests.service.conftest import Site


def test_a_search_that_runs_its_trials_and_lists_say_how_far_they_are(site: Site) -> None:
    search_id = submit(site.database, name="slow", gm=[1, 8], gc=[4], seeds=2, numbers={"epochs": 30})
    recorder = open_recorder(site.database, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    for gm, epochs in ((1, range(1, 8)), (8, range(1, 4))):
        trial = recorder.start(Replicate("gm", Point("main", gm, 0), 0))
        recorder.report(trial, {epoch: {"train_loss": 0.5} for epoch in epochs})
    with recorder.engine.begin() as connection:
        ShownProgress(recorder.pace).save_if_due(connection, search_id)
    page, listed, trial_page = (
        re.sub(r"\s+", " ", site.api.get(path).text)
        for path in (f"/searches/{search_id}", "/?name=slow", f"/searches/{search_id}/trials/gm/0")
    )
    assert "0 of 18 trials done, 2 running (epoch 3–7/30), about " in page
    assert "0 of 18, epoch 3–7/30" in listed
    assert ">running</span>, epoch 7/30, started" in trial_page
    shown = site.api.get(f"/api/searches/{search_id}").json()["progress"]
    assert (shown["epochs"]["low"], shown["epochs"]["high"], shown["epochs"]["planned"]) == (3, 7, 30)
    with recorder.engine.begin() as connection:
        transitions.set_status(connection, search_id, Status.FAILED, "a node is down")
    recorder.close()
    failed = site.api.get(f"/searches/{search_id}").text
    assert f'data-action="/api/searches/{search_id}/resume">Resume<' in failed
    assert "Retry failed trials" not in failed
    assert "epoch 3–7/30" not in failed
