"""What is read of searches, trials and the service: one contract of queries, REST, client, command line, pages, charts.

Every answer of the REST API is one of these, in JSON; ``docs/openapi.json`` is the committed document. Times are
seconds since 1970, UTC. ``search`` is the id of a search everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from search.plan.selection import Candidate, Mode, Point, Rule
from search.plan.spec import NumberValue, SearchSpec
from search.vocabulary.states import Action, Cause, EventKind, Status, TrialState

if TYPE_CHECKING:
    from trainers.recipe import Recipe


class View(BaseModel):
    """Something that is read: frozen, and JSON with null for a number that is not finite."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


# Candidates and choices


class CandidateView(View):
    """A point summarised over its replicates, and what its stage says of it."""

    variant: str
    gm: int
    gc: int
    mean: float | None  #: of the metric over finished replicates
    std: float | None  #: with n − 1 in the denominator; null at n = 1
    sem: float | None  #: standard error of the mean; null at n = 1
    n: int  #: finished replicates
    failed: int  #: replicates that diverged or otherwise did not finish
    stable: bool | None = None  #: null until the stage is decided
    eligible: bool | None = None  #: for the choice; null until the stage is decided
    chosen: bool = False
    why: str | None = None  #: it was in or out, in numbers; null until the stage is decided

    @classmethod
    def from_candidate(cls, candidate: Candidate) -> Self:
        """Return the view of a candidate of a stage that is not decided."""
        return cls.model_validate(_candidate_fields(candidate))

    @property
    def point(self) -> Point:
        """The point summarised."""
        return Point(self.variant, self.gm, self.gc)


class MeasuredView(CandidateView):
    """A point measured on the test set, with the parts that it plays."""

    labels: tuple[str, ...]  #: e.g. ``BatchNorm``, ``chosen SeqNorm``

    @classmethod
    def from_test_candidate(cls, candidate: Candidate, labels: Iterable[str]) -> Self:
        """Return the view of a candidate of stage ``test``."""
        return cls.model_validate({**_candidate_fields(candidate), "labels": tuple(labels)})


def _candidate_fields(candidate: Candidate) -> dict[str, object]:
    """Return a candidate's fields; a figure that is not finite is null, as JSON has none."""
    figures = {**vars(candidate), "sem": candidate.sem}
    return {
        name: None if isinstance(figure, float) and not math.isfinite(figure) else figure
        for name, figure in figures.items()
    }


class EvidenceView(View):
    """The numbers of a rule, and every candidate with why it was in or out."""

    rule: Rule
    axis: str  #: the parameter tuned; ``point`` if there were several
    mode: Mode
    tolerance: float
    tolerance_from: Literal["auto", "given"]
    best_mean: float | None
    candidates: tuple[CandidateView, ...]
    reference: CandidateView | None = None  #: shown beside the others: the winner of the stage before


class ChoiceView(View):
    """What a stage kept, and why."""

    point: Point | None
    evidence: EvidenceView
    sentence: str
    finalists: tuple[Point, ...]  #: what the stage sends on to the next one and to ``test``


class StageView(View):
    """A tuning stage: its candidates, and its choice once there is one."""

    name: str
    axes: tuple[str, ...]  #: the parameters that it tunes
    chosen: Point | None
    rule: Rule
    tolerance: float | None  #: null until the stage is decided
    best_mean: float | None  #: null until the stage is decided
    sentence: str | None  #: why the choice was made; null until the stage is decided
    candidates: tuple[CandidateView, ...]
    reference: CandidateView | None  #: shown beside the others: the winner of the stage before


class CandidatesView(View):
    """The candidates of every stage of a search."""

    stages: dict[str, tuple[CandidateView, ...]]
    test: tuple[MeasuredView, ...]


# Searches


class TrialCounts(View):
    """The trials of a search, counted."""

    run: int  #: trained here, those that run now included
    reused: int  #: linked from a parent
    failed: int  #: for good
    interrupted: int  #: cut, and run again
    running: int  #: now


class StageProgress(View):
    """How far a stage is."""

    stage: str
    planned: int  #: trials, the most they can be
    finished: int
    decided: bool


class Progress(View):
    """How far a search is."""

    stage: str | None  #: the first that is not finished; null when all are
    stages: tuple[StageProgress, ...]
    planned: int  #: trials, the most they can be
    finished: int
    slots: int | None  #: how many trials run at once; null until a driver knows
    seconds_left: float | None
    seconds_per_trial: float | None


class Provenance(View):
    """What a search was submitted with."""

    seqnorm: str  #: version
    python: str  #: version
    torch: str | None  #: version, where the search was submitted
    package: str | None  #: the distribution that brings the recipe
    package_version: str | None


class SearchRow(View):
    """A search in a list."""

    search: str
    name: str
    recipe: str
    strategy: str
    status: Status
    requested_status: Status | None  #: what somebody asked for and the driver has yet to reach
    reason: str  #: why it has that status
    owner: str
    tags: tuple[str, ...]
    created_at: float
    finished_at: float | None
    age: float  #: seconds since it was submitted
    finished: int  #: trials
    planned: int  #: trials, the most they can be
    seconds_left: float | None
    chosen: Point | None
    mean: float | None  #: of the chosen point
    std: float | None  #: of the chosen point


class SearchPage(View):
    """A page of a list of searches."""

    searches: tuple[SearchRow, ...]
    next: str | None  #: the cursor of the page that follows; null on the last one


class SearchView(View):
    """A search with its stages, choices, test table and progress."""

    search: str
    name: str
    tags: tuple[str, ...]
    note: str
    status: Status
    requested_status: Status | None  #: what somebody asked for and the driver has yet to reach
    reason: str  #: why it has that status
    recipe: str
    metric: str  #: what candidates are compared by
    mode: Mode  #: whether a higher or a lower metric is better
    strategy: str
    chosen: Point | None  #: by the last decided stage
    stages: tuple[StageView, ...]  #: that tune, in order
    test: tuple[MeasuredView, ...]
    trials: TrialCounts
    progress: Progress
    spec: SearchSpec
    numbers: dict[str, dict[str, NumberValue]]  #: the recipe's, as each variant trains with them; empty if unknown
    provenance: Provenance | None
    owner: str
    parent: str | None  #: whose finished trials it reuses
    children: tuple[str, ...]  #: that reuse its trials
    created_at: float
    started_at: float | None
    finished_at: float | None
    archived_at: float | None
    newest_event: int  #: id; 0 if nothing has happened


class Comparison(View):
    """Several searches together."""

    searches: tuple[SearchView, ...]


class SearchState(View):
    """What an action on a search came to."""

    search: str  #: which now waits, runs or has ended: a child, if the action made one
    status: Status
    requested_status: Status | None = None  #: what was asked for and the driver has yet to reach
    parent: str | None = None  #: of the child, if the action made one
    trials: int | None = None  #: how many run again, after a retry


class ResultTrials(View):
    """How many trials a result took."""

    run: int
    reused: int
    failed: int


class ResultView(View):
    """What ``tune``, ``grid``, ``resume``, ``show`` and ``watch`` print with ``--json``."""

    search: str
    status: Status
    strategy: str
    chosen: Point | None
    stages: tuple[StageView, ...]
    test: tuple[MeasuredView, ...]
    trials: ResultTrials

    @classmethod
    def from_search(cls, shown: SearchView) -> Self:
        """Return the part of a search that is its result."""
        trials = ResultTrials(run=shown.trials.run, reused=shown.trials.reused, failed=shown.trials.failed)
        return cls(
            search=shown.search,
            status=shown.status,
            strategy=shown.strategy,
            chosen=shown.chosen,
            stages=shown.stages,
            test=shown.test,
            trials=trials,
        )


class RefusedValue(View):
    """A group count that a recipe cannot train with."""

    value: str  #: e.g. ``gm=3``
    reason: str


class PlanView(View):
    """What a search would take; nothing is stored."""

    strategy: str
    stages: dict[str, int]  #: trials by stage
    trials: int  #: the most they can be
    grid: int  #: trials of the grid over the same values
    sequential: int  #: trials of the sequential search over the same values
    totals: dict[str, int]  #: trials of every strategy over the same values
    refused: tuple[RefusedValue, ...]
    seconds: float | None  #: the trials one after another; null if no search of the recipe has finished


class EventView(View):
    """Something that happened to a search; fields that its kind does not have are left out or null."""

    id: int
    at: float
    kind: EventKind
    status: Status | None = None
    requested_status: Status | None = None
    reason: str | None = None
    stage: str | None = None
    sentence: str | None = None  #: why a stage made its choice
    slots: int | None = None
    alive: int | None = None  #: nodes of the cluster
    trials: int | None = None  #: how many run again or are reused
    parent: str | None = None
    search: str | None = None  #: a child
    changed: tuple[str, ...] | None = None  #: parts of a search's description
    before: dict[str, str] | None = None  #: digest
    after: dict[str, str] | None = None  #: digest
    trial_id: int | None = None
    variant: str | None = None
    gm: int | None = None
    gc: int | None = None
    seed: int | None = None
    what: str | None = None  #: ``started``, or the cause of a trial's end


# Trials


class TrialLocation(View):
    """The process that trains a trial."""

    host: str = ""
    pid: int | None = None
    node: str | None = None  #: Ray's id of it
    gpus: tuple[int | str, ...] = ()  #: ids that Ray reserved


class TrialRow(View):
    """A trial in a list."""

    trial_id: int
    stage: str
    number: int  #: in its stage
    variant: str
    gm: int
    gc: int
    seed: int
    state: TrialState
    value: float | None
    cause: Cause | None  #: null while it runs
    detail: str  #: for a person: the reason, or the end of a traceback
    started_at: float
    seconds: float | None  #: null while it runs
    gm_total: int | None  #: groups over the whole batch
    group_size: int | None  #: samples; null without normalization
    epoch: int | None  #: of the lease of the driver that started it
    reused_from: str | None  #: ``<search>/<stage>/<number>`` of the original
    where: TrialLocation | None


class EpochView(View):
    """What a trial reported of an epoch."""

    epoch: int
    values: dict[str, JsonValue]  #: by name; text spells out what is not finite


class TrialView(TrialRow):
    """A trial with its metrics by epoch, and every attempt at the same point with the same seed."""

    metrics: tuple[EpochView, ...]
    attempts: tuple[TrialRow, ...]


class TrialPage(View):
    """A page of a list of trials."""

    trials: tuple[TrialRow, ...]
    next: int | None  #: the ``after`` of the page that follows; null on the last one


class SeedView(View):
    """A finished replicate, for a dot of a chart."""

    variant: str
    gm: int
    gc: int
    seed: int
    value: float

    @property
    def point(self) -> Point:
        """What was trained."""
        return Point(self.variant, self.gm, self.gc)


class QuartilesView(View):
    """The spread of a candidate's replicates, for a box of a chart."""

    variant: str
    gm: int
    gc: int
    quartiles: tuple[float, float, float, float, float]  #: lowest, the three quartiles, highest

    @property
    def point(self) -> Point:
        """What was trained."""
        return Point(self.variant, self.gm, self.gc)


class CurveView(View):
    """A learning curve: the metric of a point by epoch, over its seeds."""

    variant: str
    gm: int
    gc: int
    epoch: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: tuple[int, ...]  #: seeds with a finite metric at the epoch


class Figure(View):
    """A figure, as Plotly draws it."""

    data: list[dict[str, JsonValue]]
    layout: dict[str, JsonValue]


class WebhookView(View):
    """What a webhook is told: that a search is done, failed, cancelled or paused."""

    id: str  #: the same at every attempt
    type: str  #: e.g. ``search.done``
    created_at: str  #: ISO 8601, UTC
    search: str
    name: str
    status: Status
    reason: str
    chosen: Point | None
    owner: str


class ExportRow(View):
    """A trial in an exported file."""

    stage: str
    number: int
    variant: str
    gm: int
    gc: int
    seed: int
    state: TrialState
    cause: Cause | None
    value: float | None
    seconds: float | None
    started_at: float
    gm_total: int | None
    group_size: int | None
    reused_from: str | None
    detail: str

    @classmethod
    def from_trial(cls, trial: TrialRow) -> Self:
        """Return what is exported of a trial."""
        return cls(**{name: getattr(trial, name) for name in cls.model_fields})


# The service


class WorkerView(View):
    """A worker that was seen lately."""

    id: str
    host: str
    pid: int
    started_at: float
    seen_at: float
    search: str | None  #: what it runs


class NodeView(View):
    """A node of a cluster, as a driver last saw it."""

    id: str
    host: str
    alive: bool
    cpus: float
    gpus: float


class _UnfinishedView(View):
    search: str
    name: str
    owner: str
    recipe: str
    priority: int
    created_at: float
    started_at: float | None
    reason: str


class RunningView(_UnfinishedView):
    """A search that runs, and where."""

    slots: int | None
    trials: int  #: that run now
    nodes: tuple[NodeView, ...]


class WaitingView(_UnfinishedView):
    """A search that waits, and for what."""

    position: int
    why: str


class ClusterView(View):
    """What runs where, and what waits for what."""

    workers: tuple[WorkerView, ...]
    running: tuple[RunningView, ...]
    waiting: tuple[WaitingView, ...]


class NumberView(View):
    """A number of a recipe."""

    name: str
    default: NumberValue
    unit: str
    choices: tuple[str, ...]


class RecipeView(View):
    """A recipe, with its numbers and presets."""

    name: str
    title: str
    metric: str
    mode: Mode
    data: str  #: which data sets it takes; empty for none
    presets: dict[str, dict[str, NumberValue]]
    numbers: tuple[NumberView, ...]

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """Return what a person may want to know of a recipe."""
        from trainers.recipe import describe

        return cls.model_validate(describe(recipe))


class DataSetView(View):
    """A data set that a search may take, by name."""

    name: str


class TokenView(View):
    """A token, without its secret."""

    id: str
    name: str  #: what it is for
    owner: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None  #: null: never
    revoked_at: float | None
    last_used_at: float | None  #: to the minute
    active: bool


class NewTokenView(View):
    """A token just made; its text is shown this once."""

    token: TokenView
    text: str = Field(repr=False)


class AuditView(View):
    """Something that somebody did."""

    id: int
    at: float
    token_id: str | None  #: null: done without one
    owner: str
    action: Action
    subject: str  #: the id of a search or a token
    detail: dict[str, JsonValue]


class HealthView(View):
    """Whether the service and its database answer."""

    status: Literal["ok"]


class ReadinessView(View):
    """Each part that searches need: ``ok``, or what is missing."""

    database: str
    migrations: str
    worker: str
    ray: str

    @property
    def ready(self) -> bool:
        """Whether all parts are there."""
        return all(part.startswith("ok") for part in (self.database, self.migrations, self.worker, self.ray))
