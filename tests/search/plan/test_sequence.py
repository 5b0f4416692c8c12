"""The order of a search, driven without Ray or SQL: a record in memory over a known response surface."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from search.plan.rounds import Decision
from search.plan.selection import Candidate, Choice, Point, summarize
from search.plan.sequence import NoStableCandidate, run_sequence
from search.plan.spec import SearchSpec
from search.plan.stages import UNNORMALIZED, Plan, Replicate, Stage, make_plan
from trainers.recipe import find

Surface = Callable[[Replicate], float | None]  # the metric that a replicate ends with; None: it diverges

FIELDS: dict[str, Any] = {"recipe": "digits-mlp", "gm": [1, 2, 4, 8], "gc": [1, 2, 4], "seeds": [0, 1], "test_seeds": 2}


def plan(**changes) -> Plan:
    return make_plan(SearchSpec(**{**FIELDS, **changes}), find("digits-mlp"))


def main(gm: int, gc: int) -> Point:
    return Point("main", gm, gc)


def hill(replicate: Replicate) -> float:
    """Rise to gm 4 and gc 2; seed 1 lies a thousandth above seed 0."""
    point = replicate.point
    by_gm = {0: 0.50, 1: 0.90, 2: 0.92, 4: 0.95, 8: 0.80}[point.gm]
    by_gc = {0: 0.00, 1: 0.01, 2: 0.02, 4: -0.03}[point.gc]
    return by_gm + by_gc + 0.001 * (replicate.seed % 2)


def shifting(replicate: Replicate) -> float:
    """Rise to gm 4 without GroupNorm and to gm 2 with it; a learning rate of 0.1 is better by 0.01."""
    point = replicate.point
    best = 4 if not point.gc else 2
    return 0.9 - 0.03 * abs(point.gm - best) - 0.01 * abs(point.gc - 2) + 0.01 * ("=0.1" in point.variant)


FURTHER: dict[str, Any] = {"vary": {"learning_rate": [0.1, 0.2]}, "rounds": "until-settled", "gm_rule": "best-mean"}


@dataclass
class MemoryRecord:
    """What has been trained and decided, kept in memory: what a database is to the real one."""

    surface: Surface
    ended: dict[Replicate, float | None] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    followed_by: dict[str, Stage] = field(default_factory=dict)
    linked: set[Replicate] = field(default_factory=set)
    waiting: dict[str, deque[Replicate]] = field(default_factory=dict)
    running: deque[Replicate] = field(default_factory=deque)

    def open(self, stage: Stage) -> None:
        for replicate in stage.replicates():
            same = (each for each in self.ended if _key(each) == _key(replicate) and self.ended[each] is not None)
            if (original := next(same, None)) and replicate not in self.ended:
                self.ended[replicate] = self.ended[original]
                self.linked.add(replicate)
        waiting = self.waiting.setdefault(stage.name, deque())
        known = {*waiting, *self.running, *self.ended}
        waiting.extend(replicate for replicate in stage.replicates() if replicate not in known)

    def finished(self, stage: Stage) -> bool:
        return all(replicate in self.ended for replicate in stage.replicates())

    def next_missing(self, stage: Stage) -> Replicate | None:
        if not self.waiting[stage.name]:
            return None
        self.running.append(self.waiting[stage.name].popleft())
        return self.running[-1]

    def candidates(self, stage: Stage) -> list[Candidate]:
        return [self._summary(point, [stage.name]) for point in stage.points]

    def candidate(self, point: Point | None) -> Candidate | None:
        return None if point is None else self._summary(point, self.kept)

    def samples(self, stage: Stage) -> int | None:
        return None

    def most_common_failure(self, stage: Stage) -> str:
        return "3 of 3 failed trials: raised."

    def decision(self, stage: Stage) -> Decision | None:
        return self.decisions.get(stage.name)

    def decide(self, stage: Stage, choice: Choice, decision: Decision, following: Stage) -> None:
        assert stage.name not in self.choices, "a choice is written once"
        self.choices[stage.name], self.decisions[stage.name] = choice, decision
        self.followed_by[stage.name] = following

    @property
    def kept(self) -> dict[str, list[Point]]:
        return {name: [*decision.finalists] for name, decision in self.decisions.items()}

    def end_oldest(self) -> None:
        """End the trial that has run longest."""
        replicate = self.running.popleft()
        assert replicate not in self.ended, "a replicate ends once"
        self.ended[replicate] = self.surface(replicate)
        assert len(self.trained) == len(set(self.trained)), "no point is trained twice with a seed"

    @property
    def trained(self) -> list[tuple[bool, Point, int]]:
        """What was trained to its end rather than linked."""
        return [_key(replicate) for replicate in self.ended if replicate not in self.linked]

    def lose_oldest(self) -> Replicate:
        """Lose the trial that has run longest: it waits again, first in line."""
        lost = self.running.popleft()
        self.waiting[lost.stage].appendleft(lost)
        return lost

    def restarted(self) -> "MemoryRecord":
        """Return what a driver that takes over finds: what ended and was decided, nothing of what ran."""
        return MemoryRecord(
            self.surface, dict(self.ended), dict(self.choices), dict(self.decisions), self.followed_by, self.linked
        )

    def _summary(self, point: Point, stages: Iterable[str]) -> Candidate:
        values = [value for r, value in self.ended.items() if r.point == point and r.stage in stages]
        finite = [value for value in values if value is not None]
        return summarize(point, finite, failed=len(values) - len(finite))


def _key(replicate: Replicate) -> tuple[bool, Point, int]:
    return replicate.stage == "test", replicate.point, replicate.seed


def drive(plan: Plan, record: MemoryRecord, slots: int = 1, trials: int | None = None) -> list[Replicate]:
    """Train like an executor of so many slots; stop after a number of trials. Return what was handed out, in order."""
    handed: list[Replicate] = []
    for replicate in run_sequence(plan, record):
        if replicate is not None:
            handed.append(replicate)
        if len(handed) == trials:
            break
        if replicate is None or len(record.running) == slots:
            record.end_oldest()  # fails if nothing was handed out although nothing runs
    return handed


def stages_of(handed: list[Replicate]) -> list[str]:
    return list(dict.fromkeys(replicate.stage for replicate in handed))


def points_of(handed: list[Replicate], stage: str) -> list[Point]:
    return list(dict.fromkeys(replicate.point for replicate in handed if replicate.stage == stage))


# The story


def test_gm_is_tuned_first_then_gc_then_what_was_chosen_is_measured():
    handed = drive(plan(), MemoryRecord(hill))
    assert stages_of(handed) == ["gm", "gc", "test"]
    assert points_of(handed, "gm") == [main(1, 0), main(2, 0), main(4, 0), main(8, 0)]


def test_the_second_stage_starts_from_the_best_of_the_first():
    record = MemoryRecord(hill)
    handed = drive(plan(), record)
    assert record.kept["gm"] == [main(4, 0)]
    assert points_of(handed, "gc") == [main(4, 1), main(4, 2), main(4, 4)]


def test_a_stage_keeps_the_variant_of_the_one_before():
    record = MemoryRecord(lambda r: hill(r) + (0.01 if r.point.variant == "strong" else 0))
    handed = drive(plan(variants={"main": {}, "strong": {}}, order=["variant", "gm", "gc"]), record)
    assert {point.variant for point in points_of(handed, "gc")} == {"strong"}


def test_the_chosen_points_and_the_baselines_are_measured_with_fresh_seeds():
    handed = drive(plan(), MemoryRecord(hill))
    assert set(points_of(handed, "test")) == {main(4, 2), main(4, 0), main(1, 0), UNNORMALIZED}
    assert {replicate.seed for replicate in handed if replicate.stage == "test"} == {1000, 1001}


def test_the_papers_retrainings_on_imagenet_are_three_trials_of_250_epochs():
    recipe = find("imagenet-resnet18")
    of_gm = {2: 0.688, 4: 0.692, 8: 0.690, 16: 0.684, 32: 0.676}  # the published validation figures, with one seed
    of_gc = {2: 0.695, 4: 0.698, 8: 0.697, 16: 0.694, 32: 0.692, 64: 0.690}
    fields = {"gm": [*of_gm], "gc": [*of_gc], "seeds": [0], "test_seeds": 1, "baselines": ["batchnorm"]}
    spec = SearchSpec(recipe=recipe.name, **fields, test_numbers=recipe.presets["250-epochs"])
    record = MemoryRecord(lambda r: 0.7 if r.stage == "test" else of_gc.get(r.point.gc, of_gm[r.point.gm]))
    made = make_plan(spec, recipe)
    handed = drive(made, record)
    retrained = [replicate for replicate in handed if replicate.stage == "test"]
    assert [(*made.label(r.point, [main(4, 0), main(4, 4)]), r.point.gm, r.point.gc) for r in retrained] == [
        ("BatchNorm", 1, 0),
        ("chosen SeqNorm", 4, 4),
        ("chosen GhostNorm", 4, 0),
    ]
    epochs = [spec.resolve_numbers(recipe, r.point.variant, r.measure).epochs for r in handed]
    assert epochs == [50] * (5 + 6) + [250] * 3


def test_every_replicate_is_trained_once_and_their_number_is_that_of_the_plan():
    handed = drive(plan(), MemoryRecord(hill), slots=3)
    assert len(handed) == len(set(handed)) == sum(plan().count_trials().values()) == 4 * 2 + 3 * 2 + 4 * 2


def test_points_that_coincide_are_measured_once():
    handed = drive(plan(gm=[1]), MemoryRecord(hill))
    assert [replicate for replicate in handed if replicate.point == main(1, 0) and replicate.stage == "test"] == [
        Replicate("test", main(1, 0), 1000),
        Replicate("test", main(1, 0), 1001),
    ]


def test_a_choice_is_stored_with_the_stage_that_follows_from_it():
    record = MemoryRecord(hill)
    drive(plan(), record)
    assert record.followed_by["gm"] == plan().build_stage("gc", [main(4, 0)])
    assert record.followed_by["gc"] == plan().build_stage("test", [main(4, 0), main(4, 2)])


def test_the_second_stage_compares_with_the_winner_of_the_first():
    record = MemoryRecord(hill)
    drive(plan(), record)
    assert record.choices["gm"].evidence["reference"] is None
    assert record.choices["gc"].sentence.endswith(
        " It is 0.0200 better than gm=4, gc=0 (95 % interval 0.0180 to 0.0220): clear."
    )


def test_the_plans_rules_tolerance_and_mode_decide():
    record = MemoryRecord(hill)
    drive(plan(gm_rule="best-mean", gc_rule="largest-stable", tolerance=0.2), record)
    assert record.kept == {"gm": [main(4, 0)], "gc": [main(4, 4)]}
    lowest = Plan(**{**vars(plan(gm_rule="best-mean")), "mode": "min"})
    record = MemoryRecord(hill)
    drive(lowest, record)
    assert record.kept == {"gm": [main(8, 0)], "gc": [main(8, 4)]}


def test_the_ghostnorm_with_the_best_mean_is_measured_beside_the_one_that_is_built_on():
    record = MemoryRecord(hill)
    handed = drive(plan(tolerance=0.2), record)
    assert record.kept == {"gm": [main(4, 0), main(8, 0)], "gc": [main(8, 2)]}
    assert set(points_of(handed, "test")) == {main(8, 2), main(4, 0), main(8, 0), main(1, 0), UNNORMALIZED}
    assert sum(plan().count_replicates([*record.decisions.values()]).values()) == len(record.ended)


def test_a_grid_chooses_once_and_measures_the_best_of_each_kind():
    record = MemoryRecord(hill)
    handed = drive(plan(strategy="grid", gc=[0, 1, 2]), record, slots=3)
    assert sum(replicate.stage == "grid" for replicate in handed) == 4 * 3 * 2
    assert record.kept == {"grid": [main(4, 0), main(4, 2)]}
    assert set(points_of(handed, "test")) == {main(4, 2), main(4, 0), main(1, 0), UNNORMALIZED}


# Further axes and checks


def test_a_check_tunes_gm_again_at_the_chosen_gc_and_corrects_it():
    record = MemoryRecord(shifting)
    handed = drive(plan(rounds=1, gm_rule="best-mean"), record)
    assert {name: kept[-1] for name, kept in record.kept.items()} == {
        "gm": main(4, 0),
        "gc": main(4, 2),
        "gm-2": main(2, 2),
        "gc-2": main(2, 2),
    }
    assert record.choices["gm-2"].sentence.startswith("Checked at gc=2: gm changes from 4 to 2. gm=2 has the highest")
    assert record.choices["gc-2"].sentence.startswith("Checked at gm=2: gc=2 stays. ")
    assert set(points_of(handed, "test")) == {main(2, 2), main(4, 0), main(1, 0), UNNORMALIZED}


def test_a_check_that_changes_nothing_ends_the_search():
    record = MemoryRecord(hill)
    handed = drive(plan(rounds="until-settled"), record)
    assert [*record.kept] == ["gm", "gc", "gm-2"]
    assert record.choices["gm-2"].sentence.startswith("Checked at gc=2: gm=4 stays. ")
    assert main(4, 2) not in points_of(handed, "gm-2"), "it was trained in stage gc"


def test_a_further_axis_is_tuned_in_a_stage_of_its_own():
    record = MemoryRecord(shifting)
    handed = drive(plan(vary={"learning_rate": [0.05, 0.1]}), record)
    assert stages_of(handed) == ["gm", "gc", "learning_rate", "test"]
    assert record.kept["gc"] == [Point("learning_rate=0.2", 4, 2)]
    assert record.kept["learning_rate"] == [Point("learning_rate=0.1", 4, 2)]
    assert record.choices["learning_rate"].evidence["reference"]["variant"] == "learning_rate=0.2"


def test_the_work_of_a_search_with_checks_is_at_most_that_of_its_plan():
    record = MemoryRecord(shifting)
    searched = plan(**FURTHER)
    handed = drive(searched, record, slots=3)
    by_stage = {stage: sum(each.stage == stage for each in handed) for stage in searched.stage_names}
    assert all(by_stage[stage] <= count for stage, count in searched.count_trials().items())
    decisions = [*record.decisions.values()]
    assert sum(searched.count_replicates(decisions).values()) == len(record.ended)


# What goes wrong


def test_a_point_whose_replicate_failed_is_trained_to_its_end_and_not_chosen():
    record = MemoryRecord(lambda r: None if (r.point, r.seed) == (main(4, 0), 0) else hill(r))
    handed = drive(plan(), record)
    assert record.kept["gm"] == [main(2, 0)]
    assert Replicate("gm", main(4, 0), 1) in handed


def test_a_search_ends_where_nothing_of_a_stage_is_stable():
    record = MemoryRecord(lambda r: None)
    with pytest.raises(NoStableCandidate) as error:
        drive(plan(), record)
    assert str(error.value) == (
        "stage gm: Nothing was chosen: none of 4 candidates is stable (every replicate finished, and above chance). "
        "3 of 3 failed trials: raised."
    )
    assert record.choices == {}


def test_a_search_ends_in_its_second_stage_with_its_first_decided():
    record = MemoryRecord(lambda r: None if r.stage == "gc" else hill(r))
    with pytest.raises(NoStableCandidate, match=r"^stage gc: Nothing was chosen: none of 3 candidates is stable "):
        drive(plan(), record)
    assert record.kept == {"gm": [main(4, 0)]}


def test_a_failed_baseline_does_not_end_a_search():
    record = MemoryRecord(lambda r: None if r.point == UNNORMALIZED else hill(r))
    drive(plan(), record)
    assert record.kept == {"gm": [main(4, 0)], "gc": [main(4, 2)]}


@pytest.mark.parametrize("slots", [1, 3])
def test_a_lost_replicate_is_handed_out_again(slots):
    record = MemoryRecord(hill)
    handed: list[Replicate] = []
    lost = None
    for replicate in run_sequence(plan(), record):
        if replicate is not None:
            handed.append(replicate)
        if len(handed) == 5 and lost is None:
            lost = record.lose_oldest()
        elif replicate is None or len(record.running) == slots:
            record.end_oldest()
    assert [replicate for replicate in handed if handed.count(replicate) > 1] == [lost, lost]
    assert set(record.ended) == set(handed)


# Restarts


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("changes", [{}, {"strategy": "grid"}, FURTHER])
def test_a_restart_after_any_trial_runs_only_missing_points(changes, slots):
    searched = plan(**changes)
    whole = MemoryRecord(shifting)
    everything = drive(searched, whole, slots)
    for stopped_after in range(1, len(everything)):
        record = MemoryRecord(shifting)
        drive(searched, record, slots, trials=stopped_after)
        finished, record = set(record.ended) - record.linked, record.restarted()
        again = drive(searched, record, slots)
        assert not finished & set(again)
        assert finished | set(again) == set(everything)
        assert (record.kept, record.ended) == (whole.kept, whole.ended)


def test_a_restart_abides_by_what_was_decided():
    record = MemoryRecord(hill)
    drive(plan(), record, trials=4 * 2 + 1)  # the first trial of stage gc
    record = record.restarted()
    record.decisions["gm"] = Decision("gm", (main(2, 0),))  # what the database says, not what would be chosen now
    assert points_of(drive(plan(), record), "gc") == [main(2, 1), main(2, 2), main(2, 4)]


def test_a_finished_search_trains_nothing_more():
    record = MemoryRecord(hill)
    drive(plan(), record)
    assert drive(plan(), record.restarted()) == []


# Idle slots


def test_baselines_are_handed_out_while_the_last_trials_of_a_stage_run():
    record = MemoryRecord(hill)
    sequence = run_sequence(plan(gm=[1, 4], seeds=[0]), record)
    handed = [next(sequence) for _ in range(6)]
    assert record.ended == {}
    assert [(r.stage, r.point) for r in handed if r] == [
        ("gm", main(1, 0)),
        ("gm", main(4, 0)),
        ("test", main(1, 0)),
        ("test", UNNORMALIZED),
        ("test", main(1, 0)),
        ("test", UNNORMALIZED),
    ]


def test_none_is_handed_out_only_when_nothing_can_be():
    record = MemoryRecord(hill)
    for replicate in run_sequence(plan(), record):
        if replicate is None:
            assert record.running
            assert not any(record.waiting.values())
            record.end_oldest()


def test_a_slot_that_frees_itself_goes_back_to_the_stage_when_that_has_work():
    record = MemoryRecord(hill)
    sequence = run_sequence(plan(gm=[1, 4], seeds=[0]), record)
    for _ in range(3):  # two of stage gm, then a baseline
        next(sequence)
    lost = record.lose_oldest()
    assert next(sequence) == lost


def test_no_choice_is_made_before_the_last_replicate_of_its_stage_ends():
    record = MemoryRecord(hill)
    for replicate in run_sequence(plan(), record):
        assert ("gm" in record.kept) == (sum(r.stage == "gm" for r in record.ended) == 4 * 2)
        if replicate is None or len(record.running) == 3:
            record.end_oldest()


def test_one_slot_trains_no_baseline_before_the_stages_that_tune():
    handed = drive(plan(), MemoryRecord(hill))
    assert [replicate.stage for replicate in handed] == ["gm"] * 8 + ["gc"] * 6 + ["test"] * 8
