"""Runs a search on one page: tune stage by stage, then measure the chosen points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from search.plan.rounds import Decision
from search.plan.selection import Candidate, Choice, Point, choose
from search.plan.stages import TEST, Plan, Replicate, Stage, select_finalists
from search.vocabulary.errors import SearchError


class NoStableCandidate(SearchError):
    """No candidate of a stage is stable, so the search cannot continue."""


class SearchRecord(Protocol):
    """The state of a search; implemented by :class:`search.engine.recorder.Recorder`."""

    def open(self, stage: Stage) -> None:
        """Make the replicates of a stage available."""

    def finished(self, stage: Stage) -> bool:
        """Return whether all replicates of a stage have ended and none runs again."""

    def next_missing(self, stage: Stage) -> Replicate | None:
        """Return a replicate that neither runs nor has ended; None if there is none."""

    def candidates(self, stage: Stage) -> list[Candidate]:
        """Summarize the points of a stage."""

    def candidate(self, point: Point | None) -> Candidate | None:
        """Summarize the point that the previous tuning stage kept."""

    def samples(self, stage: Stage) -> int | None:
        """Return the size of the evaluation set if the metric is an accuracy; None if that is unknown."""

    def most_common_failure(self, stage: Stage) -> str:
        """Describe the most common failure of a stage's trials; empty if none failed."""

    def decision(self, stage: Stage) -> Decision | None:
        """Return what a stage passed on; None if it is not decided."""

    def decide(self, stage: Stage, choice: Choice, decision: Decision, following: Stage) -> None:
        """Store a choice and the next stage, atomically and only once."""


def run_sequence(plan: Plan, record: SearchRecord) -> Iterator[Replicate | None]:
    """Yield the replicate to train next, or None while there is none to start, until the search is done.

    The strategy defines the stages. The paper's strategy (section 3.2) has two: tune G_M, keep the largest value that
    performs well, then tune G_C with it fixed: Θ(G_C + G_M) trials. Further axes follow, then checks, which tune the
    axes again at the values chosen for the others. A grid has one stage. The caller may stop at any yield and start
    again later: finished trials and decisions are kept in the record.

    Raises:
        NoStableCandidate: if a stage has no stable candidate.
    """
    baselines = plan.baselines()  # BatchNorm and no normalization need no choice: work for idle slots
    record.open(baselines)
    decisions: list[Decision] = []
    while (stage := plan.next_stage(decisions)).name != TEST:  # e.g. gm, then gc with gm fixed, then gm-2 to check gm
        yield from run_stage(stage, record, fallback=baselines)
        decisions.append(record.decision(stage) or decide(stage, plan, record, decisions))
    yield from run_stage(stage, record)


def run_stage(stage: Stage, record: SearchRecord, fallback: Stage | None = None) -> Iterator[Replicate | None]:
    """Yield every unfinished replicate of a stage; while the last ones run, yield those of ``fallback``."""
    record.open(stage)
    while not record.finished(stage):
        yield record.next_missing(stage) or (record.next_missing(fallback) if fallback else None)


def decide(stage: Stage, plan: Plan, record: SearchRecord, decisions: list[Decision]) -> Decision:
    """Choose, and store the choice together with the next stage."""
    assert stage.rule is not None  # only `test` has no rule
    assert stage.axis is not None
    candidates, reference = record.candidates(stage), record.candidate(stage.reference)
    known = reference, record.samples(stage), stage.reference_among
    choice = choose(candidates, stage.rule, stage.axis, plan.mode, stage.tolerance, *known)
    if candidates and all(candidate.refused for candidate in candidates):
        raise NoStableCandidate(f"stage {stage.name}: the layers refuse every point. {candidates[0].refused}")
    if choice.point is None:
        raise NoStableCandidate(f"stage {stage.name}: {choice.sentence} {record.most_common_failure(stage)}".strip())
    decision = Decision(stage.name, tuple(select_finalists(stage, candidates, choice, plan.mode)))
    choice = replace(choice, sentence=plan.describe_check(decision, decisions) + choice.sentence)
    record.decide(stage, choice, decision, plan.next_stage([*decisions, decision]))
    return decision
