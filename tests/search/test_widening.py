"""Children of a search: more values, more seeds, another try; what their parent finished is not trained again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from search.errors import Conflict, InvalidSpec
from search.outcome import Outcome
from search.plan import Replicate
from search.selection import Point
from search.settings import Settings
from search.spec import parse_spec
from search.store import leases, searches, tables
from search.store.database import open_engine
from search.store.queries import learning_curves, list_trials
from search.widening import Widening, parse_widening, prepare_wider, retry_failed, widened
from tests.search.engine import PLANTED, finished_search, open_recorder, show, submit, train


def settings_of(url: str, tmp_path: Any) -> Settings:
    return Settings(home=tmp_path, db=url)


def widen(url: str, tmp_path: Any, parent: str, **more: Any) -> str:
    with open_engine(url).begin() as connection:
        wider = prepare_wider(settings_of(url, tmp_path), searches.get(connection, parent), Widening(**more))
        return wider.store(connection, parent=parent)


def run(url: str, search_id: str) -> list[Replicate]:
    recorder = open_recorder(url, search_id)
    trained = train(recorder, search_id)
    recorder.close()
    return trained


def test_a_wider_search_trains_only_what_its_parent_did_not(database_url: str, tmp_path: Any) -> None:
    parent = finished_search(database_url, gm=[1, 2, 4], gc=[1, 2])
    before = show(database_url, parent)
    child = widen(database_url, tmp_path, parent, gm=[8, 16], seeds=4)
    trained = run(database_url, child)
    of_gm = {(each.point.gm, each.seed) for each in trained if each.stage == "gm"}
    assert of_gm == {(gm, seed) for gm in (1, 2, 4, 8, 16) for seed in range(4) if gm > 4 or seed == 3}
    after = show(database_url, child)
    assert after["trials"]["run"] == len(trained)
    assert after["trials"]["reused"] >= 9 + 6
    assert sum(candidate["n"] for candidate in after["stages"][0]["candidates"]) == 20
    assert (after["status"], after["parent"]) == ("done", parent)
    assert {**before, "children": [child], "event": 0} == {**show(database_url, parent), "event": 0}


def test_copies_say_where_they_come_from_and_have_the_same_figures(database_url: str, tmp_path: Any) -> None:
    parent = finished_search(database_url, gm=[1, 2], gc=[1])
    child = widen(database_url, tmp_path, parent, seeds=4)
    run(database_url, child)
    grandchild = widen(database_url, tmp_path, child, gm=[4])
    run(database_url, grandchild)
    with open_engine(database_url, read_only=True).connect() as connection:
        originals, copies = (list_trials(connection, id, "gm", limit=500) for id in (parent, grandchild))
        curves = learning_curves(connection, grandchild, "gm")
        below = learning_curves(connection, parent, "gm")
    sources = {copy["attributes"]["reused_from"]: copy for copy in copies if "reused_from" in copy["attributes"]}
    for original in originals:
        copy = sources[f"{parent}/gm/{original['number']}"]
        for part in ("variant", "gm", "gc", "seed", "value", "state", "started_at", "seconds"):
            assert copy[part] == original[part]
    assert len([curve for curve in curves if curve["gm"] < 4]) == len(below) > 0


def test_a_child_that_is_interrupted_links_nothing_twice(database_url: str, tmp_path: Any) -> None:
    child = widen(database_url, tmp_path, finished_search(database_url), seeds=4)
    first = open_recorder(database_url, child, lease_seconds=-1)
    first.open(first._plan.stage("gm", []))
    run(database_url, child)
    with open_engine(database_url, read_only=True).connect() as connection:
        rows = list_trials(connection, child, state="COMPLETE", limit=500)
    keys = [(row["stage"], row["variant"], row["gm"], row["gc"], row["seed"]) for row in rows]
    assert len(set(keys)) == len(keys)


def test_a_test_figure_is_not_taken_for_one_of_tuning(database_url: str, tmp_path: Any) -> None:
    parent = finished_search(database_url, gm=[1], gc=[1], seeds=1)
    child = widen(database_url, tmp_path, parent, seeds=[1000])
    trained = run(database_url, child)
    assert Replicate("gm", Point("main", 1, 0), 1000) in trained
    assert not [each for each in trained if each.stage == "test" and each.seed == 1000]


def test_failed_trials_of_a_decided_stage_run_again_in_a_child(database_url: str, tmp_path: Any) -> None:
    parent = submit(database_url)
    recorder = open_recorder(database_url, parent)
    failed = Replicate("gm", Point("main", 1, 0), 0)
    recorder.open(recorder._plan.stage("gm", []))
    recorder._stages["gm"].pop_waiting()
    recorder.finish(recorder.start(failed), Outcome(cause="raised", detail="a fault"))
    train(recorder, parent)
    with recorder.engine.begin() as connection:
        leases.release(connection, leases.Lease(parent, 1))
    with open_engine(database_url).begin() as connection:
        retried = retry_failed(connection, settings_of(database_url, tmp_path), parent)
    assert (retried.parent, retried.trials) == (parent, 1)
    assert run(database_url, retried.search_id) == [failed]
    assert show(database_url, parent)["trials"]["failed"] == 1


def test_what_has_changed_or_still_runs_has_no_children(database_url: str, tmp_path: Any) -> None:
    with pytest.raises(Conflict, match="only a search that neither waits nor runs has children"):
        widen(database_url, tmp_path, submit(database_url), seeds=5)
    parent = finished_search(database_url)
    with pytest.raises(InvalidSpec, match=r"has values or seeds that \w+ has not: got none"):
        widen(database_url, tmp_path, parent, gm=[1, 2], seeds=2)
    with pytest.raises(InvalidSpec, match="gm must divide the batch: got gm=3"):
        widen(database_url, tmp_path, parent, gm=[3])
    with open_engine(database_url).begin() as connection:
        connection.execute(update(tables.searches).values(digest={"data": "of another day"}))
    with pytest.raises(Conflict, match="got another data than"):
        widen(database_url, tmp_path, parent, seeds=5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gm": "8"}, "gm must be a list: got '8'. Give more group counts along the mini-batch."),
        ({"gm": [-1]}, "gm should be greater than or equal to 0: got -1."),
        ({"epochs": 3}, "epochs is not a field of a search: got 3. Known: gm, gc, seeds, test_seeds."),
    ],
)
def test_what_is_added_is_checked(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        parse_widening(fields)
    assert str(refusal.value).startswith(said)


def test_what_a_search_has_stays_where_it_is_and_what_is_added_follows() -> None:
    spec = parse_spec({**PLANTED, "gm": [4, 1], "seeds": [7]})
    fields = widened(spec, Widening(gm=[2, 1], seeds=2, test_seeds=5))
    assert (fields["gm"], fields["gc"], fields["seeds"], fields["test_seeds"]) == ([4, 1, 2], [1, 2, 4], [7, 0, 1], 5)
    with pytest.raises(InvalidSpec, match="as many fresh seeds or more: got test_seeds=1, which were 3"):
        widened(spec, Widening(test_seeds=1))
