"""Children of a search: more values, more seeds, another try; what their parent finished is not trained again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import planted
import pytest
from sqlalchemy import update

from search.actions.widen import (
    ChildSubmission,
    PreparedRetry,
    Widening,
    merge_widening,
    parse_widening,
    prepare_retry,
    prepare_widening,
)
from search.cli.backends import LocalBackend
from search.plan.selection import Point
from search.plan.spec import parse_spec
from search.plan.stages import Replicate
from search.settings import Settings
from search.store import leases, searches, tables, transitions
from search.store.database import open_engine
from search.store.queries import learning_curves, list_trials
from search.vocabulary.errors import Conflict, InvalidSpec
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause, Status
from tests.search.stored import PLANTED, finished_search, open_recorder, show, submit, train


def settings_of(url: str, tmp_path: Any) -> Settings:
    return Settings(home=tmp_path, db=url)


def widen(url: str, tmp_path: Any, parent: str, **more: Any) -> str:
    with open_engine(url).begin() as connection:
        wider = prepare_widening(settings_of(url, tmp_path), searches.get(connection, parent), Widening(**more))
        return wider.store(connection)


def run(url: str, search_id: str) -> list[Replicate]:
    recorder = open_recorder(url, search_id)
    trained = train(recorder, search_id)
    recorder.close()
    return trained


def test_a_wider_search_trains_only_what_its_parent_did_not(database_url: str, tmp_path: Any) -> None:
    parent = finished_search(database_url, gm=[1, 2, 4], gc=[1, 2])
    with open_engine(database_url).begin() as connection:
        searches.set_samples(connection, parent, {"test": 2000})
    before = show(database_url, parent)
    child = widen(database_url, tmp_path, parent, gm=[8, 16], seeds=4)
    trained = run(database_url, child)
    of_gm = {(each.point.gm, each.seed) for each in trained if each.stage == "gm"}
    assert of_gm == {(gm, seed) for gm in (1, 2, 4, 8, 16) for seed in range(4) if gm > 4 or seed == 3}
    after = show(database_url, child)
    assert after.trials.run == len(trained)
    assert after.trials.reused >= 9 + 6
    assert sum(candidate.n for candidate in after.stages[0].candidates) == 20
    assert (after.status, after.parent, after.samples) == ("done", parent, {"test": 2000})
    now = show(database_url, parent)
    assert now == before.model_copy(update={"children": (child,), "newest_event": now.newest_event})


def test_a_wider_search_with_axes_and_checks_trains_no_point_again(settings: Settings, tmp_path: Any) -> None:
    url = settings.database_url
    fields: dict[str, Any] = {"vary": {"learning_rate": [0.1, 0.3]}, "rounds": "until-settled"}
    parent = submit(url, gm=[4, 8], gc=[2, 4], seeds=2, test_seeds=1, **fields)
    trained = run(url, parent)
    with open_engine(url).begin() as connection:
        leases.release(connection, leases.Lease(parent, 1))
    child = widen(url, tmp_path, parent, gm=[16], seeds=3)
    again = run(url, child)
    assert again
    keys = [(each.stage == "test", each.point, each.seed) for each in (*trained, *again)]
    assert len(set(keys)) == len(keys)
    shown = show(url, child)
    assert shown.progress.finished == shown.progress.planned == shown.trials.run + shown.trials.reused
    assert [stage.name for stage in shown.stages][:4] == ["gm", "gc", "learning_rate", "gm-2"]


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
    sources = {copy.reused_from: copy for copy in copies if copy.reused_from}
    for original in originals:
        copy = sources[f"{parent}/gm/{original.number}"]
        for part in ("variant", "gm", "gc", "seed", "value", "state", "started_at", "seconds"):
            assert getattr(copy, part) == getattr(original, part)
    assert len([curve for curve in curves if curve.gm < 4]) == len(below) > 0


def test_a_child_that_is_interrupted_links_nothing_twice(database_url: str, tmp_path: Any) -> None:
    child = widen(database_url, tmp_path, finished_search(database_url), seeds=4)
    first = open_recorder(database_url, child, lease_seconds=-1)
    first.open(first._plan.build_stage("gm", []))
    run(database_url, child)
    with open_engine(database_url, read_only=True).connect() as connection:
        rows = list_trials(connection, child, state="COMPLETE", limit=500)
    keys = [(row.stage, row.variant, row.gm, row.gc, row.seed) for row in rows]
    assert len(set(keys)) == len(keys)


def test_a_test_figure_is_not_taken_for_one_of_tuning(database_url: str, tmp_path: Any) -> None:
    parent = finished_search(database_url, gm=[1], gc=[1], seeds=1)
    child = widen(database_url, tmp_path, parent, seeds=[1000])
    trained = run(database_url, child)
    assert Replicate("gm", Point("main", 1, 0), 1000) in trained
    assert not [each for each in trained if each.stage == "test" and each.seed == 1000]


FAILED = Replicate("gm", Point("main", 1, 0), 0)


def search_with_a_failed_trial(url: str, decided: bool = True, **fields: Any) -> str:
    """Store a search with one failed trial, in a stage that is decided, or paused before that."""
    parent = submit(url, **fields)
    recorder = open_recorder(url, parent)
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder._stages["gm"].pop_waiting()
    recorder.finish(recorder.start(FAILED), Outcome(cause=Cause.RAISED, detail="a fault"))
    if decided:
        train(recorder, parent)
    with recorder.engine.begin() as connection:
        if not decided:
            transitions.set_status(connection, parent, Status.PAUSED, "")
        leases.release(connection, leases.Lease(parent, 1))
    recorder.close()
    return parent


def test_failed_trials_of_a_decided_stage_run_again_in_a_child(database_url: str, tmp_path: Any) -> None:
    parent = search_with_a_failed_trial(database_url)
    with open_engine(database_url).begin() as connection:
        retried = prepare_retry(settings_of(database_url, tmp_path), connection, parent).store(connection)
    assert (retried.parent, retried.trials) == (parent, 1)
    assert run(database_url, retried.search_id) == [FAILED]
    assert show(database_url, parent).trials.failed == 1


def test_failed_trials_of_an_undecided_stage_run_again_where_they_are(database_url: str, tmp_path: Any) -> None:
    search_id = search_with_a_failed_trial(database_url, decided=False, gm=[1, 2], gc=[1], seeds=1)
    with open_engine(database_url).begin() as connection:
        retried = prepare_retry(settings_of(database_url, tmp_path), connection, search_id).store(connection)
    assert (retried.search_id, retried.parent, retried.trials) == (search_id, None, 1)
    assert show(database_url, search_id).status == "queued"


def prepare_both(url: str, tmp_path: Any, parent: str) -> tuple[PreparedRetry, ChildSubmission]:
    """Prepare a child that retries and one that widens."""
    settings = settings_of(url, tmp_path)
    with open_engine(url, read_only=True).connect() as connection:
        wider = prepare_widening(settings, searches.get(connection, parent), Widening(seeds=5))
        return prepare_retry(settings, connection, parent), wider


CHANGES = {
    "waits": ({"status": "queued"}, "a search must not be queued or running|only a paused, failed or done search"),
    "goes on with other data": ({"digest": {"data": "of another day"}}, "got another data than"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_child_is_not_stored_when_its_parent_has_changed_since_it_was_prepared(
    database_url: str, tmp_path: Any, change: str
) -> None:
    parent = search_with_a_failed_trial(database_url, gm=[1, 2], gc=[1], seeds=1)
    values, said = CHANGES[change]
    prepared = prepare_both(database_url, tmp_path, parent)
    with open_engine(database_url).begin() as connection:
        connection.execute(update(tables.searches).values(values))
    for each in prepared:
        with pytest.raises(Conflict, match=said), open_engine(database_url).begin() as connection:
            each.store(connection)
    assert show(database_url, parent).children == ()


def test_a_retry_is_refused_when_the_stage_was_decided_since_it_was_prepared(database_url: str, tmp_path: Any) -> None:
    search_id = search_with_a_failed_trial(database_url, decided=False, gm=[1, 2], gc=[1], seeds=1)
    with open_engine(database_url, read_only=True).connect() as connection:
        prepared = prepare_retry(settings_of(database_url, tmp_path), connection, search_id)
    with open_engine(database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.QUEUED, "")
    run(database_url, search_id)  # to its end
    refused = pytest.raises(Conflict, match=r"that was decided meanwhile\. Retry again\.")
    with refused, open_engine(database_url).begin() as connection:
        prepared.store(connection)
    assert show(database_url, search_id).children == ()


class Meanwhile:
    """What another process writes while a recipe names its data. It waits for no lock longer than a moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str, search_id: str) -> None:
        self.wrote = 0
        self._url = url
        self._search_id = search_id
        recipe = replace(planted.RECIPE, identify_data=f"{__name__}:identify_while_somebody_writes")
        monkeypatch.setattr(planted, "RECIPE", recipe)
        monkeypatch.setattr(Meanwhile, "now", self, raising=False)

    def write(self) -> None:
        engine = open_engine(self._url)
        sqlite = engine.dialect.name == "sqlite"
        with engine.connect() as connection:
            waits = "PRAGMA busy_timeout = 500" if sqlite else "SET lock_timeout = 500"
            connection.connection.cursor().execute(waits)
            searches.describe(connection, self._search_id, note=f"written {self.wrote}")
            connection.commit()
        engine.dispose()
        self.wrote += 1


def identify_while_somebody_writes(home: Any) -> str:
    Meanwhile.now.write()  # type: ignore[attr-defined]
    return "bundled"


@pytest.mark.parametrize("action", ["retry", "widen", "submit"])
def test_others_write_while_a_command_hashes_sources_and_data(
    database_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    parent = search_with_a_failed_trial(database_url, gm=[1, 2], gc=[1], seeds=1)
    meanwhile = Meanwhile(monkeypatch, database_url, parent)
    here = LocalBackend(settings_of(database_url, tmp_path))
    if action == "submit":
        here.submit({**PLANTED, "seeds": 1})
    else:
        made = here.retry(parent) if action == "retry" else here.widen(parent, {"seeds": 4})
        assert made.parent == parent
    assert meanwhile.wrote >= 1


def test_what_has_changed_or_still_runs_has_no_children(database_url: str, tmp_path: Any) -> None:
    with pytest.raises(Conflict, match="a search must not be queued or running to get a child"):
        widen(database_url, tmp_path, submit(database_url), seeds=5)
    parent = finished_search(database_url)
    with pytest.raises(InvalidSpec, match=r"must add values or seeds to \w+: got none"):
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
        ({"gm": "8"}, "gm must be a list: got '8'. Give a list, e.g. gm: [1, 2]"),
        ({"gm": [-1]}, "gm should be greater than or equal to 0: got -1."),
        ({"seeds": 2**31 - 1}, "seeds "),  # a count, which was expanded to a list of 2**31 seeds
        ({"seeds": [*range(65)]}, "seeds "),
        ({"gm": [1] * 10_000}, "gm list should have at most 256 items"),
        ({"epochs": 3}, "epochs is not a field of a search: got 3. Known: gm, gc, seeds, test_seeds."),
    ],
)
def test_what_is_added_is_checked(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        parse_widening(fields)
    assert str(refusal.value).startswith(said)


def test_what_a_search_has_stays_where_it_is_and_what_is_added_follows() -> None:
    spec = parse_spec({**PLANTED, "gm": [4, 1], "seeds": [7]})
    fields = merge_widening(spec, Widening(gm=[2, 1], seeds=2, test_seeds=5))
    assert (fields["gm"], fields["gc"], fields["seeds"], fields["test_seeds"]) == ([4, 1, 2], [1, 2, 4], [7, 0, 1], 5)
    with pytest.raises(InvalidSpec, match="must not have fewer test seeds: got test_seeds=1, which were 3"):
        merge_widening(spec, Widening(test_seeds=1))
