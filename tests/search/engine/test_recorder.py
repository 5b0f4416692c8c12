"""What a driver keeps of its search: nothing is trained twice, and whoever was taken over writes nothing."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, event, select, text, update

from search.engine.recorder import Recorder
from search.plan.selection import Point
from search.plan.sequence import NoStableCandidate
from search.plan.stages import Replicate
from search.settings import Settings
from search.store import queries, searches, tables, transitions
from search.store.attempts import read_attempts
from search.store.database import open_engine
from search.store.metrics import read_metrics
from search.vocabulary.errors import Fenced
from search.vocabulary.outcome import Outcome
from search.vocabulary.secret import reveal
from search.vocabulary.states import Cause, Status
from tests.search.stored import finished_search, open_recorder, show, submit, train


def test_going_on_trains_only_what_is_missing(database_url: str) -> None:
    search_id = submit(database_url)
    first = open_recorder(database_url, search_id, lease_seconds=-1)
    before = train(first, search_id, stop_after=20)
    second = open_recorder(database_url, search_id)
    after = train(second, search_id)
    assert len(before) == 20
    assert not set(before) & set(after)
    assert show(database_url, search_id).trials.run == 36


def test_a_trial_of_stage_test_has_groups_of_its_own_batch(database_url: str) -> None:
    search_id = submit(database_url, gm=[4], gc=[1], seeds=1, test_seeds=1, test_numbers={"batch": 128})
    train(open_recorder(database_url, search_id), search_id)
    with open_engine(database_url, read_only=True).connect() as connection:
        sizes = {
            (row.stage, row.gm): row.group_size
            for row in queries.list_trials(connection, search_id, limit=10)
            if row.gm
        }
    assert sizes == {("gm", 4): 16, ("gc", 4): 16, ("test", 4): 32, ("test", 1): 128}


def test_a_search_interrupted_anywhere_ends_like_one_left_alone(database_url: str) -> None:
    undisturbed = show(database_url, finished_search(database_url, seeds=2))
    search_id = submit(database_url, seeds=2)
    for stop_after in (1, 9, 2, 6, None):  # inside stages and at their ends
        train(open_recorder(database_url, search_id, lease_seconds=-1), search_id, stop_after)
    shown = show(database_url, search_id)
    assert shown.stages == undisturbed.stages
    assert shown.test == undisturbed.test


def test_taking_over_ends_what_was_left_running(database_url: str) -> None:
    search_id = submit(database_url)
    first = open_recorder(database_url, search_id, lease_seconds=-1)
    first.open(first._plan.build_stage("gm", []))
    replicate = Replicate("gm", Point("main", 1, 0), 0)
    first.start(replicate)
    second = open_recorder(database_url, search_id)
    trained = train(second, search_id)
    assert trained.count(replicate) == 1
    with second.engine.begin() as connection:
        tried = [a for a in read_attempts(connection, search_id, "gm") if a.replicate == replicate]
    assert [(a.state, a.cause) for a in tried] == [("FAIL", "lost"), ("COMPLETE", None)]


def test_a_driver_that_was_taken_over_writes_nothing(database_url: str) -> None:
    search_id = submit(database_url)
    stale = open_recorder(database_url, search_id, lease_seconds=-1)
    stage = stale._plan.build_stage("gm", [])
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


def start_one(url: str) -> tuple[Recorder, str, int]:
    """Start one trial of a search."""
    search_id = submit(url)
    recorder = open_recorder(url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    return recorder, search_id, recorder.start(Replicate("gm", Point("main", 1, 0), 0))


def test_a_message_is_stored_in_one_transaction(database_url: str) -> None:
    recorder, _, trial_id = start_one(database_url)
    begun: list[Engine] = []
    for engine in (recorder.engine, recorder._trials.engine):
        event.listen(engine, "begin", lambda connection: begun.append(connection.engine))
    recorder.report(trial_id, {epoch: {"validation_accuracy": 0.5, "train_loss": 1.0} for epoch in range(1, 1001)})
    assert len(begun) == 1
    counts = _rows(database_url)
    assert (counts["metrics"], counts["trial_intermediate_values"]) == (1000, 1000)


@pytest.mark.parametrize("epochs", [{2**70: {"train_loss": 0.5}}, {1: {"train_loss": 0.5}, -(2**70): {}}])
def test_metrics_that_cannot_be_stored_fail_their_trial_and_not_the_driver(
    database_url: str, epochs: dict[int, dict[str, float]]
) -> None:
    recorder, search_id, trial_id = start_one(database_url)
    recorder.report(trial_id, epochs)
    outcome = recorder.finish(trial_id, Outcome(value=0.9))
    assert outcome.cause == "raised"
    assert outcome.detail.startswith("its metrics could not be stored: ")
    assert _rows(database_url)["metrics"] == 0
    train(recorder, search_id)
    assert show(database_url, search_id).status == "done"


def test_a_detail_of_any_text_is_stored_and_shown(database_url: str) -> None:
    recorder, search_id, trial_id = start_one(database_url)
    recorder.finish(trial_id, Outcome(cause=Cause.RAISED, detail="a\0b \ud800"))
    with recorder.engine.begin() as connection:
        shown = queries.show_trial(connection, search_id, "gm", 0)
    assert shown.detail == "a\\x00b \\ud800"
    assert shown.model_dump_json()


def test_a_value_too_large_to_be_compared_has_diverged(database_url: str) -> None:
    recorder, search_id, trial_id = start_one(database_url)
    recorder.report(trial_id, {1: {"validation_accuracy": 1.7e308}, 2: {"validation_accuracy": 0.5}})
    assert recorder.finish(trial_id, Outcome(value=1.7e308)).cause == "diverged"
    second = recorder.start(Replicate("gm", Point("main", 1, 0), 1))
    recorder.report(second, {1: {"validation_accuracy": 1.7e308}, 2: {"validation_accuracy": 0.5}})
    with recorder.engine.begin() as connection:
        (curve,) = queries.learning_curves(connection, search_id, "gm")
    assert (curve.epoch, curve.mean) == ((2,), (0.5,))


def test_what_a_trial_sends_after_its_end_is_not_stored(database_url: str) -> None:
    recorder, _, trial_id = start_one(database_url)
    recorder.interrupt(Cause.CANCELLED, "cancelled")
    recorder.report(trial_id, {1: {"validation_accuracy": 0.5}})
    assert _rows(database_url)["metrics"] == 0


def test_a_failed_replicate_is_counted_and_not_averaged(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    stage = recorder._plan.build_stage("gm", [])
    recorder.open(stage)
    point = Point("main", 1, 0)
    recorder.finish(recorder.start(Replicate("gm", point, 0)), Outcome(value=0.9))
    recorder.finish(recorder.start(Replicate("gm", point, 1)), Outcome(value=float("nan")))
    (candidate,) = [c for c in recorder.candidates(stage) if c.point == point]
    assert (candidate.mean, candidate.n, candidate.failed) == (0.9, 1, 1)


def test_how_many_samples_accuracies_are_measured_on_is_stored_by_split(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id, lease_seconds=-1)
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder.open(recorder._plan.baselines())
    for stage, gm, samples in (("gm", 1, None), ("gm", 2, 900), ("test", 1, 2000), ("gm", 4, 1000)):
        replicate = Replicate(stage, Point("main", gm, 0), 0 if stage == "gm" else 1000)
        recorder.finish(recorder.start(replicate), Outcome(value=0.5, samples=samples))
    assert show(database_url, search_id).samples == {"validation": 900, "test": 2000}
    after = open_recorder(database_url, search_id)
    after.open(after._plan.build_stage("gm", []))
    after.finish(after.start(Replicate("gm", Point("main", 8, 0), 0)), Outcome(value=0.5, samples=800))
    assert show(database_url, search_id).samples == {"validation": 800, "test": 2000}


@pytest.mark.parametrize("recipe", ["planted", "planted-loss"])
def test_the_gain_of_a_choice_allows_for_the_evaluation_set_of_an_accuracy(database_url: str, recipe: str) -> None:
    stages = []
    for samples in ({}, {"validation": 1000}):
        search_id = submit(database_url, recipe=recipe, gm=[8], gc=[4])
        with open_engine(database_url).begin() as connection:
            searches.set_samples(connection, search_id, samples)
        recorder = open_recorder(database_url, search_id)
        train(recorder, search_id)
        stages.append(show(database_url, search_id).stages[1])
        (candidate,) = recorder.candidates(recorder._plan.build_stage("gm", []))
        assert candidate.values
        assert candidate.values.keys() == {0, 1, 2}, "so that seeds can be paired"
    alone, of_samples = (stage.gain for stage in stages)
    assert alone
    assert of_samples
    assert alone.low
    assert of_samples.low
    assert stages[0].sentence.endswith(f" It is {alone.sentence}.")
    assert (of_samples.low < alone.low) == (recipe == "planted"), "a loss is no share of samples"


def test_a_process_that_dies_three_times_is_a_crash_loop(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    stage = recorder._plan.build_stage("gm", [])
    recorder.open(stage)
    first = recorder.next_missing(stage)
    causes = []
    for _ in range(3):
        assert first is not None
        causes.append(recorder.finish(recorder.start(first), Outcome(cause=Cause.LOST, detail="died")).cause)
        following = recorder.next_missing(stage)
        assert (following == first) == (len(causes) < 3)
    assert causes == ["lost", "lost", "crash_loop"]


# Points that the layers refuse


def attempts(url: str, search_id: str, stage: str, gm: int) -> list[tuple[str, str | None, str]]:
    """Return state, cause and detail of every trial of a gm, in order."""
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        rows = queries.list_trials(connection, search_id, stage=stage, limit=500)
    engine.dispose()
    return [(row.state, row.cause, row.detail) for row in rows if row.gm == gm]


def test_a_refused_point_is_put_out_at_once_and_the_search_goes_on(database_url: str) -> None:
    search_id = submit(database_url, gm=[1, 2, 4, 8], max_failures_in_a_row=1)
    trained = train(open_recorder(database_url, search_id), search_id, refused=[4])
    assert [each.seed for each in trained if each.stage == "gm" and each.point.gm == 4] == [0]
    said = "gm must fit: got gm=4."
    assert attempts(database_url, search_id, "gm", 4) == [("FAIL", "refused", said)] * 3
    shown = show(database_url, search_id)
    (out,) = [each for each in shown.stages[0].candidates if each.gm == 4]
    assert (out.n, out.failed, out.stable, out.why) == (0, 3, False, f"out: {said}")
    assert (shown.status, shown.trials.failed, shown.trials.running) == ("done", 3, 0)
    assert shown.progress.finished == shown.progress.planned


def test_what_a_lost_driver_left_of_a_refused_point_is_put_out_and_a_retry_trains_it(database_url: str) -> None:
    search_id = submit(database_url, gm=[4, 8], gc=[1])
    first = open_recorder(database_url, search_id, lease_seconds=-1)
    first.open(first._plan.build_stage("gm", []))
    replicate = Replicate("gm", Point("main", 4, 0), 0)
    first._put_out = lambda *_: None  # type: ignore[method-assign]  # killed just before
    first.finish(first.start(replicate), Outcome(cause=Cause.REFUSED, detail="gm must fit: got gm=4."))
    trained = train(open_recorder(database_url, search_id, lease_seconds=-1), search_id, stop_after=1)
    assert {each.point.gm for each in trained} == {8}
    assert attempts(database_url, search_id, "gm", 4) == [("FAIL", "refused", "gm must fit: got gm=4.")] * 3
    with open_engine(database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.FAILED, "")
        assert searches.retry(connection, search_id) == 3
    again = train(open_recorder(database_url, search_id), search_id)
    assert len([each for each in again if each.stage == "gm" and each.point.gm == 4]) == 3


def test_a_stage_whose_points_are_all_refused_fails_with_their_sentence(database_url: str) -> None:
    search_id = submit(database_url, gm=[4, 8])
    with pytest.raises(NoStableCandidate, match=r"^stage gm: the layers refuse every point\. gm must fit: got gm=4\.$"):
        train(open_recorder(database_url, search_id), search_id, refused=[4, 8])


def test_the_most_common_failure_is_one_sentence(database_url: str) -> None:
    recorder = open_recorder(database_url, submit(database_url, gm=[1], seeds=2))
    stage = recorder._plan.build_stage("gm", [])
    recorder.open(stage)
    for seed, last in enumerate(("loss 1", "loss 2")):
        trial_id = recorder.start(Replicate("gm", Point("main", 1, 0), seed))
        detail = f"it gave no metric acc. Name it by --metric.\nIts last lines:\n{last}"
        recorder.finish(trial_id, Outcome(cause=Cause.RAISED, detail=detail))
    assert recorder.most_common_failure(stage) == (
        "2 of 2 failed trials: raised: it gave no metric acc. Name it by --metric."
    )


# Searches that were stored before variants were an axis


def test_a_stored_search_whose_first_stage_has_all_variants_goes_on_so(settings: Settings) -> None:
    variants: dict[str, Any] = {"main": {}, "long": {"epochs": 2}}
    search_id = submit(settings.database_url, gm=[4, 8], gc=[2], seeds=1, test_seeds=1, variants=variants)
    sweeps = submit(settings.database_url, gm=[4, 8], gc=[2], seeds=1, test_seeds=1)
    with open_engine(settings.database_url).begin() as connection:
        of_other = select(tables.searches.c.sweeps).where(tables.searches.c.id == sweeps)
        stored = connection.execute(of_other).scalar_one()
        this = tables.searches.c.id == search_id
        connection.execute(update(tables.searches).where(this).values(sweeps=stored))
    trained = train(open_recorder(settings.database_url, search_id), search_id)
    assert [(each.point.variant, each.point.gm) for each in trained if each.stage == "gm"] == [
        ("main", 4), ("main", 8), ("long", 4), ("long", 8)
    ]  # fmt: skip
    shown = show(settings.database_url, search_id)
    assert [stage.name for stage in shown.stages] == ["gm", "gc"]
    assert shown.progress.planned == shown.progress.finished == len(trained)


# Further axes and checks

CHECKED: dict[str, Any] = {
    "gm": [4, 8],
    "gc": [2, 4],
    "seeds": 2,
    "test_seeds": 1,
    "vary": {"learning_rate": [0.1, 0.3], "epochs": [1], "hold_until": ["a", "b"]},
    "rounds": "until-settled",
}


def test_a_check_links_what_the_search_has_trained(database_url: str) -> None:
    search_id = submit(database_url, **CHECKED)
    trained = train(open_recorder(database_url, search_id), search_id)
    keys = [(each.stage == "test", each.point, each.seed) for each in trained]
    assert len(set(keys)) == len(keys), "nothing is trained twice"
    shown = show(database_url, search_id)
    assert [stage.name for stage in shown.stages][:6] == ["gm", "gc", "learning_rate", "epochs", "hold_until", "gm-2"]
    assert shown.trials.run == len(trained)
    assert shown.trials.reused > 0
    assert shown.progress.planned == shown.progress.finished == shown.trials.run + shown.trials.reused
    assert (shown.progress.stage, shown.status) == (None, "done")
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        copies = [trial for trial in queries.list_trials(connection, search_id, "gm-2", limit=50) if trial.reused_from]
        for copy in copies:
            _, stage, number = (copy.reused_from or "").split("/")
            original = queries.find_trial(connection, search_id, stage, int(number))
            assert (copy.variant, copy.gm, copy.gc, copy.seed) == (
                original.variant, original.gm, original.gc, original.seed
            )  # fmt: skip
            assert copy.value == original.value
            assert queries.show_trial(connection, search_id, "gm-2", copy.number).metrics
    assert len(copies) == 2, "the point that was checked, with both seeds"


def test_every_axis_is_a_parameter_of_optuna(settings: Settings) -> None:
    search_id = submit(settings.database_url, **CHECKED)
    train(open_recorder(settings.database_url, search_id), search_id)
    study = optuna.load_study(study_name=f"{search_id}/hold_until", storage=reveal(settings.database_url))
    assert {tuple(trial.params) for trial in study.trials} == {
        ("gm", "gc", "learning_rate", "epochs", "hold_until", "seed")
    }
    assert {trial.params["hold_until"] for trial in study.trials} == {"a", "b"}
    assert study.best_trial.distributions == {
        "gm": optuna.distributions.IntDistribution(0, 8),
        "gc": optuna.distributions.IntDistribution(0, 4),
        "learning_rate": optuna.distributions.FloatDistribution(0.1, 0.3),
        "epochs": optuna.distributions.IntDistribution(1, 1),
        "hold_until": optuna.distributions.CategoricalDistribution(("", "a", "b")),
        "seed": optuna.distributions.IntDistribution(0, 1000),
    }


@pytest.mark.parametrize("killed_at", ["INSERT INTO trials", "INSERT INTO trial_params", "INTO metrics"])
def test_a_search_killed_in_the_middle_of_linking_ends_like_one_left_alone(settings: Settings, killed_at: str) -> None:
    undisturbed = show(settings.database_url, finished_search(settings.database_url, **CHECKED))
    search_id = submit(settings.database_url, **CHECKED)
    first = open_recorder(settings.database_url, search_id, lease_seconds=-1)
    linking: list[str] = []

    def kill(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "gm-2" in first._stages and killed_at in statement:
            linking.append(statement)
            if killed_at == "INTO metrics" or len(linking) == 2:  # with one copy made
                raise InterruptedError

    for engine in (first.engine, first._trials.engine):
        event.listen(engine, "before_cursor_execute", kill)
    with pytest.raises(InterruptedError):
        train(first, search_id)
    train(open_recorder(settings.database_url, search_id), search_id)
    shown = show(settings.database_url, search_id)
    assert (shown.stages, shown.test) == (undisturbed.stages, undisturbed.test)
    assert shown.trials == undisturbed.trials
    engine = open_engine(settings.database_url, read_only=True)
    with engine.connect() as connection:
        for trial in queries.list_trials(connection, search_id, state="COMPLETE", limit=200):
            assert read_metrics(connection, trial.trial_id), f"{trial.stage}/{trial.number} has no metrics"
