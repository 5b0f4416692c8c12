"""The store on SQLite and on PostgreSQL: one suite for both."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from planted import surface
from sqlalchemy import event, text, update

from search.errors import Conflict, Fenced, NotFound, StoreUnavailable
from search.outcome import Outcome
from search.plan import Replicate
from search.selection import Point
from search.store import candidates as projection
from search.store import leases, queries, searches
from search.store.attempts import attempts
from search.store.database import now, open_engine
from search.store.queries.curves import MAX_CURVES, MAX_EPOCHS
from search.store.schema import current_version, upgrade
from search.store.tables import searches as search_rows
from tests.search.engine import finished_search, open_recorder, show, submit, train


def test_a_finished_search_shows_the_planted_optimum(database_url: str) -> None:
    shown = show(database_url, finished_search(database_url))
    assert shown["status"] == "done"
    assert shown["chosen"] == {"variant": "main", "gm": 8, "gc": 4}
    assert [stage["chosen"]["gm"] for stage in shown["stages"]] == [8, 8]
    assert shown["trials"] == {"run": 5 * 3 + 3 * 3 + 4 * 3, "reused": 0, "failed": 0, "interrupted": 0, "running": 0}
    assert {label for row in shown["test"] for label in row["labels"]} == {
        "BatchNorm", "chosen GhostNorm", "chosen SeqNorm", "no normalization",
    }  # fmt: skip


def test_candidates_are_the_statistics_of_their_replicates(database_url: str) -> None:
    shown = show(database_url, finished_search(database_url))
    values = [surface(8, 0, seed, 0.002) for seed in (0, 1, 2)]
    (candidate,) = [row for row in shown["stages"][0]["candidates"] if row["gm"] == 8]
    assert candidate["mean"] == pytest.approx(statistics.mean(values), abs=1e-12)
    assert candidate["std"] == pytest.approx(statistics.stdev(values), abs=1e-12)
    assert candidate["sem"] == pytest.approx(statistics.stdev(values) / 3**0.5, abs=1e-12)


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


def test_going_on_trains_only_what_is_missing(database_url: str) -> None:
    search_id = submit(database_url)
    first = open_recorder(database_url, search_id, lease_seconds=-1)
    before = train(first, search_id, stop_after=20)
    second = open_recorder(database_url, search_id)
    after = train(second, search_id)
    assert len(before) == 20
    assert not set(before) & set(after)
    assert show(database_url, search_id)["trials"]["run"] == 36


def test_a_search_interrupted_anywhere_ends_like_one_left_alone(database_url: str) -> None:
    undisturbed = show(database_url, finished_search(database_url, seeds=2))
    search_id = submit(database_url, seeds=2)
    for stop_after in (1, 9, 2, 6, None):  # inside stages and at their ends
        train(open_recorder(database_url, search_id, lease_seconds=-1), search_id, stop_after)
    shown = show(database_url, search_id)
    assert shown["stages"] == undisturbed["stages"]
    assert shown["test"] == undisturbed["test"]


def test_taking_over_ends_what_was_left_running(database_url: str) -> None:
    search_id = submit(database_url)
    first = open_recorder(database_url, search_id, lease_seconds=-1)
    first.open(first._plan.stage("gm", []))
    replicate = Replicate("gm", Point("main", 1, 0), 0)
    first.start(replicate)
    second = open_recorder(database_url, search_id)
    trained = train(second, search_id)
    assert trained.count(replicate) == 1
    with second.engine.begin() as connection:
        tried = [a for a in attempts(connection, search_id, "gm") if a.replicate == replicate]
    assert [(a.state, a.cause) for a in tried] == [("FAIL", "lost"), ("COMPLETE", None)]


def test_a_driver_that_was_taken_over_writes_nothing(database_url: str) -> None:
    search_id = submit(database_url)
    stale = open_recorder(database_url, search_id, lease_seconds=-1)
    stage = stale._plan.stage("gm", [])
    stale.open(stage)
    replicate = stale.next_missing(stage)
    assert replicate is not None
    trial_id = stale.start(replicate)
    open_recorder(database_url, search_id)
    before = _rows(database_url)
    for write in (
        lambda: stale.start(Replicate("gm", Point("main", 2, 0), 0)),
        lambda: stale.report(trial_id, {1: {"validation_accuracy": 0.5}}),
        lambda: stale.finish(trial_id, Outcome(value=0.5)),
    ):
        with pytest.raises(Fenced, match=r"was taken over: this driver has epoch 1, it is now 2"):
            write()
    assert _rows(database_url) == before


def _rows(url: str) -> dict[str, int]:
    tables = ("trials", "trial_values", "trial_intermediate_values", "trial_user_attributes", "metrics", "candidates")
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        return {table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables}


def test_a_held_search_cannot_be_taken(database_url: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    leases.take(engine, search_id, 60)
    with pytest.raises(Conflict, match=rf"a search has one driver: got {search_id}, which process \d+ on "):
        leases.take(engine, search_id, 60)


def test_a_search_whose_holder_is_gone_is_taken_at_once(database_url: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    leases.take(engine, search_id, 60)
    with engine.begin() as connection:
        gone = {**leases.asdict(leases.Holder.this_process()), "started": 1.0}  # the pid lives, the process does not
        connection.execute(update(search_rows).values(holder=gone))
    assert leases.take(engine, search_id, 60).epoch == 2


def test_leases_run_on_the_clock_of_the_database(database_url: str) -> None:
    import time

    upgrade(database_url)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(now().select()).scalar_one() == pytest.approx(time.time(), abs=2)


def test_a_stage_is_decided_once(database_url: str) -> None:
    search_id = finished_search(database_url)
    recorder_plan = open_engine(database_url)
    from search.plan import plan_of
    from search.selection import choose
    from trainers.recipe import find

    with recorder_plan.begin() as connection:
        plan = plan_of(searches.get(connection, search_id).spec, find("planted"))
        stage = plan.stage("gm", [])
        choice = choose(projection.read(connection, search_id)["gm"])
        with pytest.raises(Conflict, match="a stage is decided once: got a second choice for gm"):
            searches.decide(connection, search_id, stage, choice, [])


def test_the_projection_can_be_made_anew_from_the_trials(database_url: str) -> None:
    search_id = submit(database_url)
    train(open_recorder(database_url, search_id, lease_seconds=-1), search_id, stop_after=12)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        kept = projection.read(connection, search_id)["gm"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE candidates SET mean = 0, n = 99"))
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.stage("gm", []))
    with engine.connect() as connection:
        assert projection.read(connection, search_id)["gm"] == kept


def test_candidates_of_an_older_store_learn_their_finished_trials(database_url: str) -> None:
    search_id = finished_search(database_url, gm=[1, 2], gc=[1], seeds=2)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        kept = {stage: projection.read_finished(connection, search_id, stage) for stage in ("gm", "gc", "test")}
        connection.execute(text("UPDATE candidates SET finished = NULL"))
        assert projection.read_finished(connection, search_id, "gm")[Point("main", 1, 0)] == []
        projection.fill(connection)
        assert {stage: projection.read_finished(connection, search_id, stage) for stage in kept} == kept
        values = [value for _, _, value in kept["gm"][Point("main", 1, 0)]]
        (shown, *_) = projection.read(connection, search_id)["gm"]
    assert shown.mean == pytest.approx(sum(values) / 2)


def test_a_failed_replicate_is_counted_and_not_averaged(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    stage = recorder._plan.stage("gm", [])
    recorder.open(stage)
    point = Point("main", 1, 0)
    recorder.finish(recorder.start(Replicate("gm", point, 0)), Outcome(value=0.9))
    recorder.finish(recorder.start(Replicate("gm", point, 1)), Outcome(value=float("nan")))
    (candidate,) = [c for c in recorder.candidates(stage) if c.point == point]
    assert (candidate.mean, candidate.n, candidate.failed) == (0.9, 1, 1)


def test_a_process_that_dies_three_times_is_a_crash_loop(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    stage = recorder._plan.stage("gm", [])
    recorder.open(stage)
    first = recorder.next_missing(stage)
    causes = []
    for _ in range(3):
        assert first is not None
        causes.append(recorder.finish(recorder.start(first), Outcome(cause="lost", detail="died")).cause)
        following = recorder.next_missing(stage)
        assert (following == first) == (len(causes) < 3)
    assert causes == ["lost", "lost", "crash_loop"]


def test_trials_are_paged_in_the_order_they_started(database_url: str) -> None:
    search_id = finished_search(database_url)
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        first = queries.list_trials(connection, search_id, limit=20)
        second = queries.list_trials(connection, search_id, after=first[-1]["trial_id"], limit=20)
        only_gc = queries.list_trials(connection, search_id, stage="gc")
    assert (len(first), len(second), len(only_gc)) == (20, 16, 9)
    assert first[0] | {"trial_id": 0, "started_at": 0, "seconds": 0, "value": 0, "attributes": {}} == {
        "trial_id": 0, "stage": "gm", "number": 0, "variant": "main", "gm": 1, "gc": 0, "seed": 0, "state": "COMPLETE",
        "value": 0, "cause": "finished", "detail": "", "started_at": 0, "seconds": 0, "attributes": {},
    }  # fmt: skip


@pytest.mark.parametrize("sort", ["value", "-value"])
def test_trials_are_sorted_by_value_across_pages(database_url: str, sort: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    train(recorder, search_id, stop_after=30)
    recorder.finish(recorder.start(Replicate("gm", Point("main", 1, 0), 9)), Outcome(cause="raised", detail="x"))
    engine = open_engine(database_url, read_only=True)
    rows: list[dict] = []
    with engine.connect() as connection:
        while page := queries.list_trials(
            connection, search_id, sort=sort, after=rows[-1]["trial_id"] if rows else 0, limit=7
        ):
            rows += page
    values = [row["value"] for row in rows]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1], reverse=sort == "-value")
    assert len({row["trial_id"] for row in rows}) == 31


def test_trials_are_filtered_by_point(database_url: str) -> None:
    search_id = finished_search(database_url)
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        rows = queries.list_trials(connection, search_id, gm=8, gc=4)
    assert {(row["gm"], row["gc"]) for row in rows} == {(8, 4)}
    assert len(rows) == 6


def test_searches_are_filtered(database_url: str) -> None:
    wanted = submit(database_url, name="100% of it")
    submit(database_url, name="1000 of it")
    submit(database_url, recipe="planted-loss")
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        assert [row["id"] for row in queries.list_searches(connection, name="100%")] == [wanted]
        assert len(queries.list_searches(connection, recipe="planted-loss")) == 1
        assert queries.list_searches(connection, status="done") == []


def test_the_number_of_queries_does_not_grow_with_the_trials(database_url: str) -> None:
    few, many = submit(database_url), submit(database_url)
    train(open_recorder(database_url, few), few, stop_after=3)
    train(open_recorder(database_url, many), many)
    engine = open_engine(database_url, read_only=True)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    counts = []
    for search_id in (few, many):
        statements.clear()
        with engine.connect() as connection:
            queries.show_search(connection, search_id)
            queries.list_trials(connection, search_id, limit=500)
            queries.list_searches(connection)
        counts.append(len(statements))
    assert counts[0] == counts[1] < 25


def test_a_done_search_has_as_many_finished_trials_as_it_planned_where_points_coincide(database_url: str) -> None:
    finished_search(database_url, gm=[1], gc=[1])
    finished_search(database_url, strategy="grid", gm=[1, 8], gc=[0, 1])
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        rows = queries.list_searches(connection)
        shown = [queries.show_search(connection, row["id"])["progress"] for row in rows]
    for row, progress in zip(rows, shown, strict=True):
        assert row["finished"] == row["planned"] == progress["planned"] == progress["finished"]


def test_a_loss_is_minimised(database_url: str) -> None:
    search_id = finished_search(database_url, recipe="planted-loss")
    shown = show(database_url, search_id)
    assert shown["chosen"] == {"variant": "main", "gm": 8, "gc": 4}
    assert "gc=4 has the lowest mean" in shown["stages"][1]["sentence"]
    assert optuna.load_study(study_name=f"{search_id}/gc", storage=database_url).direction.name == "MINIMIZE"


@pytest.mark.parametrize(
    ("status", "wanted", "then"),
    [("queued", "paused", "paused"), ("queued", "cancelled", "cancelled"), ("paused", "cancelled", "cancelled")],
)
def test_a_search_that_nobody_runs_is_steered_at_once(database_url: str, status: str, wanted: str, then: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        searches.set_status(connection, search_id, status, "")
    with engine.begin() as connection:
        assert searches.ask(connection, search_id, wanted).status == then
        assert searches.ask(connection, search_id, wanted).status == then


def test_a_running_search_is_asked_to_stop(database_url: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    leases.take(engine, search_id, 60)
    with engine.begin() as connection:
        search = searches.ask(connection, search_id, "paused")
    assert (search.status, search.wanted) == ("running", "paused")


def test_an_ended_search_is_not_steered(database_url: str) -> None:
    search_id = finished_search(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        with pytest.raises(Conflict, match=f"unfinished search can be cancelled: got {search_id}, which is done"):
            searches.ask(connection, search_id, "cancelled")
        with pytest.raises(Conflict, match=f"unfinished search can be resumed: got {search_id}, which is done"):
            searches.queue(connection, search_id)


def test_failed_trials_of_an_undecided_stage_are_retried_and_others_are_not(database_url: str) -> None:
    search_id = submit(database_url)
    first = open_recorder(database_url, search_id, lease_seconds=-1)
    first.open(first._plan.stage("gm", []))
    failed = Replicate("gm", Point("main", 1, 0), 0)
    first.finish(first.start(failed), Outcome(cause="raised", detail="a fault"))
    first.finish(first.start(Replicate("gm", Point("main", 2, 0), 0)), Outcome(value=0.9))
    engine = open_engine(database_url)
    with engine.begin() as connection:
        searches.set_status(connection, search_id, "paused", "")
        leases.release(connection, leases.Lease(search_id, 1))
    with engine.begin() as connection:
        assert searches.retry(connection, search_id) == 1
    trained = train(open_recorder(database_url, search_id), search_id)
    assert trained.count(failed) == 1
    assert len(trained) == 36 - 1
    assert show(database_url, search_id)["trials"]["run"] == 37


def test_a_decided_stage_is_not_retried(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    train(recorder, search_id)
    recorder.finish(recorder.start(Replicate("gm", Point("main", 1, 0), 9)), Outcome(cause="raised", detail="x"))
    refused = pytest.raises(Conflict, match="a decided stage is not changed: got 1 failed trials in stage gm")
    with open_engine(database_url).begin() as connection, refused:
        searches.retry(connection, search_id)


def test_searches_are_paged_newest_first(database_url: str) -> None:
    ids = [submit(database_url, name=f"number {n}") for n in range(5)]
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        first = queries.list_searches(connection, limit=3)
        last = first[-1]
        second = queries.list_searches(connection, before=(last["created_at"], last["id"]), limit=3)
    assert [row["id"] for row in [*first, *second]] == ids[::-1]


def test_metrics_keep_what_json_has_no_number_for(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.stage("gm", []))
    trial_id = recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    recorder.report(trial_id, {1: {"train_loss": float("inf"), "validation_accuracy": 0.25}})
    with recorder.engine.begin() as connection:
        shown = queries.show_trial(connection, search_id, "gm", 0)
    assert shown["trial_id"] == trial_id
    assert shown["figures"] == [{"epoch": 1, "train_loss": "inf", "validation_accuracy": 0.25}]


def test_a_trial_is_shown_with_every_attempt_at_its_point_and_seed(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.stage("gm", []))
    for gm, seed, outcome in ((1, 0, Outcome(cause="lost")), (1, 1, Outcome(value=0.5)), (1, 0, Outcome(value=0.6))):
        recorder.finish(recorder.start(Replicate("gm", Point("main", gm, 0), seed)), outcome)
    with recorder.engine.begin() as connection:
        shown = queries.show_trial(connection, search_id, "gm", 2)
        with pytest.raises(NotFound, match="got gm and 3"):
            queries.show_trial(connection, search_id, "gm", 3)
    assert [(row["number"], row["cause"]) for row in shown["attempts"]] == [(0, "lost"), (2, "finished")]


def test_learning_curves_take_the_seeds_of_a_point_together(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.stage("gm", []))
    for seed, values in enumerate(([0.2, 0.4], [0.4, 0.8], [0.6, float("nan")])):
        trial_id = recorder.start(Replicate("gm", Point("main", 2, 0), seed))
        recorder.report(trial_id, {epoch: {"validation_accuracy": value} for epoch, value in enumerate(values, 1)})
    lost = recorder.start(Replicate("gm", Point("main", 2, 0), 0))
    recorder.report(lost, {1: {"validation_accuracy": 0.9}})
    recorder.finish(lost, Outcome(cause="lost"))
    with recorder.engine.begin() as connection:
        (curve,) = queries.learning_curves(connection, search_id, "gm")
        assert queries.learning_curves(connection, search_id, "gc") == []
    assert (curve["variant"], curve["gm"], curve["gc"]) == ("main", 2, 0)
    assert curve["mean"] == pytest.approx([0.4, 0.6])
    assert (curve["epoch"], curve["low"], curve["high"], curve["n"]) == ([1, 2], [0.2, 0.4], [0.6, 0.8], [3, 2])


def test_of_many_points_the_curves_of_those_that_run_and_of_the_best_are_read(database_url: str) -> None:
    variants = {f"v{number:02}": {} for number in range(MAX_CURVES + 4)}
    search_id = submit(database_url, strategy="grid", gm=[8], gc=[4], seeds=3, variants=variants)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.stage("grid", []))

    def train_one(variant: str, seed: int, value: float, *, to_its_end: bool = True) -> None:
        trial_id = recorder.start(Replicate("grid", Point(variant, 8, 4), seed))
        recorder.report(trial_id, {1: {"validation_accuracy": value}})
        if to_its_end:
            recorder.finish(trial_id, Outcome(value=value))

    for rank, variant in enumerate(variants):
        train_one(variant, 0, 0.9 - rank / 100)
    train_one("v19", 1, 0.5, to_its_end=False)  # the worst
    with recorder.engine.begin() as connection:
        curves = queries.learning_curves(connection, search_id, "grid")
    assert [curve["variant"] for curve in curves] == [*list(variants)[: MAX_CURVES - 1], "v19"]
    running = curves[-1]
    assert (running["n"], running["low"], running["high"]) == ([2], [0.5], [pytest.approx(0.71)])


def test_of_very_many_epochs_a_curve_has_as_many_as_a_line_can_with_the_last(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.stage("gm", []))
    trial_id = recorder.start(Replicate("gm", Point("main", 2, 0), 0))
    epochs = 2 * MAX_EPOCHS + 3
    write = "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
    rows = [{"step": step, "value": step / epochs} for step in range(1, epochs + 1)]
    with recorder.engine.begin() as connection:
        connection.execute(text(write + f"VALUES ({trial_id}, :step, :value, 'FINITE')"), rows)
        (curve,) = queries.learning_curves(connection, search_id, "gm")
    assert curve["epoch"] == list(range(3, epochs + 1, 3))
    assert curve["mean"][-1] == 1.0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_hosts_that_migrate_at_once_do_not_get_into_each_others_way(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(upgrade, [database_url] * 4))
    assert len(set(versions)) == 1
    assert current_version(open_engine(database_url)) == versions[0]


def test_an_unknown_search_is_named(database_url: str) -> None:
    upgrade(database_url)
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection, pytest.raises(NotFound, match="no search has the id 'nowhere'"):
        queries.show_search(connection, "nowhere")


def test_a_newer_schema_is_refused(database_url: str) -> None:
    upgrade(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE seqnorm_version SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match=r"must not be newer than this program: got schema 9999, known \d+"):
        upgrade(database_url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "must be an SQLAlchemy URL of SQLite or PostgreSQL: got text that is no URL"),
        ("nosuch://somewhere/db", "must be an SQLAlchemy URL of SQLite or PostgreSQL: got nosuch://somewhere/db"),
        ("sqlite:////proc/nowhere/test.db", "folder must be writable: got /proc/nowhere"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named(url: str, words: str) -> None:
    with pytest.raises(StoreUnavailable, match=words):
        upgrade(url)
