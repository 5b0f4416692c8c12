"""The program's story: tune one parameter after another, then measure what was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from search.plan.selection import Candidate, Choice, Point, choose
from search.plan.stages import Plan, Replicate, Stage, select_finalists
from search.vocabulary.errors import SearchError


class NoStableCandidate(SearchError):
    """No candidate of a stage is stable, so there is nothing to go on with."""


class Record(Protocol):
    """What has been trained and decided so far; see :class:`search.engine.recorder.Recorder`."""

    def open(self, stage: Stage) -> None:
        """Make the replicates of a stage available."""

    def finished(self, stage: Stage) -> bool:
        """Say whether every replicate of a stage has ended for good."""

    def next_missing(self, stage: Stage) -> Replicate | None:
        """Hand out a replicate that neither runs nor has ended; None if there is none."""

    def candidates(self, stage: Stage) -> list[Candidate]:
        """Summarise the points of a stage."""

    def candidate(self, point: Point | None) -> Candidate | None:
        """Summarise the point that a tuning stage before this one kept."""

    def most_common_failure(self, stage: Stage) -> str:
        """Say what most of a stage's failed trials died of; nothing if none failed."""

    def winners(self, stage: Stage) -> list[Point] | None:
        """Return what a stage kept; None if it is not decided."""

    def decide(self, stage: Stage, choice: Choice, winners: list[Point], following: Stage) -> None:
        """Store a choice and the stage that follows from it, together and once."""


def run_sequence(plan: Plan, record: Record) -> Iterator[Replicate | None]:
    """Yield what to train next, None while there is nothing to hand out, until all is decided and measured.

    The strategy has made the stages. The paper's (section 3.2) has two: tune G_M, keep the largest value that performs
    well, tune G_C with it fixed: Θ(G_C + G_M) trials. A grid has one. Whoever runs this may stop at any yield and
    start anew later: what is finished or decided stays so.

    Raises:
        NoStableCandidate: if a stage has no stable candidate.
    """
    baselines = plan.baselines()  # BatchNorm and no normalization wait for no choice: work for idle slots
    record.open(baselines)
    winners: list[Point] = []
    *tuning, test = plan.stage_names
    for name, following in zip(tuning, [*tuning[1:], test], strict=True):  # e.g. gm, then gc with gm fixed
        stage = plan.build_stage(name, winners)
        yield from run_stage(stage, record, fallback=baselines)
        winners += record.winners(stage) or decide(stage, plan, record, winners, following)
    yield from run_stage(plan.build_stage(test, winners), record)


def run_stage(stage: Stage, record: Record, fallback: Stage | None = None) -> Iterator[Replicate | None]:
    """Yield every replicate of a stage that has not finished; while the last ones run, those of ``fallback``."""
    record.open(stage)
    while not record.finished(stage):
        yield record.next_missing(stage) or (record.next_missing(fallback) if fallback else None)


def decide(stage: Stage, plan: Plan, record: Record, winners: list[Point], following: str) -> list[Point]:
    """Choose, and store the choice together with the stage that follows from it."""
    assert stage.rule is not None  # only `test` has no rule
    assert stage.axis is not None
    candidates, reference = record.candidates(stage), record.candidate(stage.reference)
    choice = choose(candidates, stage.rule, stage.axis, plan.mode, stage.tolerance, reference)
    if choice.point is None:
        raise NoStableCandidate(f"stage {stage.name}: {choice.sentence} {record.most_common_failure(stage)}".strip())
    chosen = select_finalists(stage, candidates, choice, plan.mode)
    record.decide(stage, choice, chosen, plan.build_stage(following, [*winners, *chosen]))
    return chosen
