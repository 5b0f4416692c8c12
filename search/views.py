"""Read models of searches, trials and the service, shared by queries, REST, client, command line, pages and charts.

Every response of the REST API is one of these as JSON; ``docs/openapi.json`` is the committed document. Times are
seconds since 1970, UTC. ``search`` is always the id of a search.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from search.plan.comparison import Comparison, Verdict
from search.plan.naming import split_name
from search.plan.selection import Candidate, Mode, Point, Rule
from search.plan.spec import NumberValue, SearchSpec
from search.plan.stages import TEST, Replicate
from search.vocabulary.formatting import format_numbers
from search.vocabulary.states import Action, Cause, EventKind, Status, TrialState
from trainers.trial import Measure

if TYPE_CHECKING:
    from trainers.recipe import Recipe


class View(BaseModel):
    """Base class: frozen; non-finite numbers become null in JSON."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


# Candidates and choices


class CandidateView(View):
    """Summary of a point over its replicates, with the verdict of its stage."""

    variant: str  #: its values on further axes, e.g. ``learning_rate=0.1, sigma=0.2``; ``main`` if there are none
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
    why: str | None = None  #: why it was in or out, in numbers; null until the stage is decided

    @classmethod
    def from_candidate(cls, candidate: Candidate) -> Self:
        """Return the view of a candidate in an undecided stage."""
        return cls.model_validate(_candidate_fields(candidate))

    @property
    def point(self) -> Point:
        """The point that is summarized."""
        return Point(self.variant, self.gm, self.gc)

    def to_candidate(self, values: Mapping[int, float] | None = None) -> Candidate:
        """Return the candidate, with its values by seed where they are known."""
        figures = {name: getattr(self, name) for name in ("variant", "gm", "gc", "mean", "std", "n", "failed")}
        return Candidate(**figures, values=values)


class ComparisonView(View):
    """How much better a candidate is than a reference, and whether the seeds can tell."""

    reference: str  #: what it is compared with, e.g. ``BatchNorm``
    gain: float  #: difference of the means; positive where the candidate is better, whatever the mode
    low: float | None  #: lower limit of the 95 % interval of the gain; null where there is no spread to judge by
    high: float | None  #: its upper limit
    paired: bool  #: whether differences of equal seeds gave the interval
    verdict: Verdict
    more_seeds: int | None  #: about how many more would tell; null if it is clear, or if no sensible number would
    sentence: str  #: all of it in words

    @classmethod
    def from_comparison(cls, comparison: Comparison) -> Self:
        """Return the view of a comparison."""
        return cls.model_validate(comparison.as_json())


class MeasuredView(CandidateView):
    """A point measured on the test set, with its labels and gains."""

    labels: tuple[str, ...]  #: e.g. ``BatchNorm``, ``chosen SeqNorm``
    values: dict[int, float] = {}  #: of the metric, by seed
    gains: tuple[ComparisonView, ...] = ()  #: over BatchNorm, and of a SeqNorm over the chosen GhostNorm

    @classmethod
    def from_test_candidate(cls, candidate: Candidate, labels: Iterable[str]) -> Self:
        """Return the view of a candidate of stage ``test``, without gains."""
        return cls.model_validate(
            {**_candidate_fields(candidate), "labels": tuple(labels), "values": candidate.values or {}}
        )


def _candidate_fields(candidate: Candidate) -> dict[str, object]:
    """Return a candidate's fields; non-finite numbers become null."""
    figures = {**vars(candidate), "sem": candidate.sem}
    return {
        name: None if isinstance(figure, float) and not math.isfinite(figure) else figure
        for name, figure in figures.items()
    }


class EvidenceView(View):
    """The numbers of a rule, and every candidate with the reason it was in or out."""

    rule: Rule
    axis: str  #: the parameter tuned; ``point`` if there were several
    mode: Mode
    tolerance: float
    tolerance_from: Literal["auto", "given"]
    best_mean: float | None
    candidates: tuple[CandidateView, ...]
    reference: CandidateView | None = None  #: the previous winner, shown for comparison
    gain: ComparisonView | None = None  #: of the choice over the reference


class ChoiceView(View):
    """The choice of a stage, with its reason."""

    point: Point | None
    evidence: EvidenceView
    sentence: str
    finalists: tuple[Point, ...]  #: passed on to the next stage and to ``test``


class StageView(View):
    """A tuning stage with its candidates, and with its choice once it is decided."""

    name: str
    axes: tuple[str, ...]  #: the parameters that it tunes
    chosen: Point | None
    rule: Rule
    tolerance: float | None  #: null until the stage is decided
    best_mean: float | None  #: null until the stage is decided
    sentence: str | None  #: why the choice was made; null until the stage is decided
    candidates: tuple[CandidateView, ...]
    reference: CandidateView | None  #: the previous winner, shown for comparison
    gain: ComparisonView | None = None  #: of the choice over the reference; null until the stage is decided


class CandidatesView(View):
    """The candidates of every stage of a search."""

    stages: dict[str, tuple[CandidateView, ...]]
    test: tuple[MeasuredView, ...]


# Searches


class TrialCounts(View):
    """Numbers of trials of a search."""

    run: int  #: trained by this search, including running ones
    reused: int  #: linked from the parent
    failed: int  #: permanently
    retriable: int = 0  #: replicates that have failed, not refused by the layers, and were not retried since
    interrupted: int  #: stopped, and run again
    running: int


class EpochProgress(View):
    """How far the running trials of a search are."""

    low: int  #: epochs finished by the slowest running trial
    high: int  #: epochs finished by the fastest running trial
    planned: int | None  #: epochs of a trial; null if they differ, or a recipe reports more
    done: float  #: what they have trained, in trials
    seconds_per_trial: float | None  #: predicted; null before the first epoch


class StageProgress(View):
    """The progress of a stage."""

    stage: str
    planned: int  #: maximum number of trials
    finished: int
    decided: bool


class Progress(View):
    """The progress of a search."""

    stage: str | None  #: the first unfinished stage; null if all are finished
    stages: tuple[StageProgress, ...]
    planned: int  #: maximum number of trials
    finished: int
    epochs: EpochProgress | None = None  #: of the running trials; null if none runs
    slots: int | None  #: number of parallel trials; null until a driver knows it
    seconds_left: float | None
    seconds_per_trial: float | None


class CommandView(View):
    """Somebody's own program that a search runs."""

    words: tuple[str, ...]  #: the program and its arguments, with their placeholders; none if the operator described it
    folder: str  #: in which it runs; empty if the operator described it
    commit: str  #: git's in that folder, with ``-dirty`` if a tracked file was changed; ``none`` or ``unknown`` if none
    measures_test: bool  #: whether stage ``test`` measures on held-out data
    host: str | None  #: that alone runs it; null for a recipe that the operator has described
    user: str | None  #: who alone runs it

    @property
    def line(self) -> str:
        """The command as typed in a shell."""
        return shlex.join(self.words)


class Provenance(View):
    """The versions, the data and the command that a search was submitted with."""

    seqnorm: str  #: version
    python: str  #: version
    torch: str | None  #: version, where the search was submitted
    package: str | None  #: the distribution that contains the recipe
    package_version: str | None
    data: str = ""  #: what was found in the data set, and what was left out; empty if none was named
    command: CommandView | None = None  #: null unless it runs somebody's own program


class SearchRow(View):
    """A search in a list."""

    search: str
    name: str
    recipe: str
    strategy: str
    status: Status
    requested_status: Status | None  #: requested by a user, not reached yet
    reason: str  #: of the status
    owner: str
    tags: tuple[str, ...]
    created_at: float
    finished_at: float | None
    age: float  #: seconds since it was submitted
    finished: int  #: trials
    planned: int  #: maximum number of trials
    epochs: EpochProgress | None = None  #: of the running trials; null if none runs
    seconds_left: float | None
    chosen: Point | None
    mean: float | None  #: of the chosen point
    std: float | None  #: of the chosen point, with n − 1 in the denominator; null at n = 1
    sem: float | None = None  #: standard error of the chosen point's mean; null at n = 1
    n: int = 0  #: finished replicates of the chosen point
    failed: int = 0  #: replicates of the chosen point that did not finish


class SearchPage(View):
    """A page of a list of searches."""

    searches: tuple[SearchRow, ...]
    next: str | None  #: cursor of the next page; null on the last


class SearchView(View):
    """A search with its stages, choices, test table and progress."""

    search: str
    name: str
    tags: tuple[str, ...]
    note: str
    status: Status
    requested_status: Status | None  #: requested by a user, not reached yet
    reason: str  #: of the status
    recipe: str
    metric: str  #: compared between candidates
    mode: Mode  #: whether a higher or a lower metric is better
    strategy: str
    chosen: Point | None  #: the choice of the last decided stage
    stages: tuple[StageView, ...]  #: the tuning stages, in order
    test: tuple[MeasuredView, ...]
    trials: TrialCounts
    progress: Progress
    spec: SearchSpec
    numbers: dict[str, dict[str, NumberValue]]  #: resolved numbers of the recipe by variant; empty if unknown
    samples: dict[Measure, int] = {}  #: number of samples that accuracies are measured on, by split, where known
    provenance: Provenance | None
    owner: str
    parent: str | None  #: the search whose finished trials it reuses
    children: tuple[str, ...]  #: searches that reuse its trials
    created_at: float
    started_at: float | None
    finished_at: float | None
    archived_at: float | None
    newest_event: int  #: its id; 0 if there is none

    def numbers_of(self, variant: str, stage: str) -> dict[str, NumberValue]:
        """Return the resolved numbers that a variant trains with in a stage; none if they are unknown."""
        named = self.numbers.get(split_name(variant)[0], {})
        of_test = self.spec.test_numbers if stage == TEST else {}
        return {**named, **self.spec.read_values(variant), **of_test} if named else {}

    @property
    def command(self) -> CommandView | None:
        """Somebody's own program that it runs."""
        return self.provenance.command if self.provenance else None

    @property
    def is_bound(self) -> bool:
        """Whether only one user on one host runs it."""
        return self.command is not None and self.command.host is not None

    @property
    def test_numbers_note(self) -> str:
        """A sentence that names the numbers of stage ``test`` if it has its own; else empty."""
        found = self.spec.test_numbers
        return f"Stage test trains with {format_numbers(found)}." if found else ""

    @property
    def test_note(self) -> str:
        """A sentence about stage ``test`` if it measures nothing that the tuning stages have not seen; else empty."""
        if self.command is None or self.command.measures_test:
            return ""
        return (
            f"Stage test trains fresh seeds; its figure is the validation {self.metric}, as the command does not read "
            "the split. For held-out data, use trial.split, {split} or a metric of its own for the test."
        )


class SearchGain(View):
    """How much better a point of a search is than the point of another search with the same label."""

    search: str
    label: str  #: of the points, e.g. ``chosen SeqNorm``
    reference: str  #: the id of the other search
    comparison: ComparisonView


class ComparedSearches(View):
    """Several searches to compare."""

    searches: tuple[SearchView, ...]
    gains: tuple[SearchGain, ...] = ()  #: in stage ``test``, over the first search


class SearchState(View):
    """The result of an action on a search."""

    search: str  #: id of the search, or of the child that the action created
    status: Status
    requested_status: Status | None = None  #: requested, not reached yet
    parent: str | None = None  #: of the child, if the action created one
    trials: int | None = None  #: number of trials that a retry reruns


class ResultTrials(View):
    """Numbers of trials behind a result."""

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
        """Return the result part of a search."""
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
    """A group count that a recipe cannot train with, or a data set that is missing."""

    value: str  #: e.g. ``gm=3``; ``data`` if the search must name a data set
    reason: str


class PlanView(View):
    """The estimated cost of a search; nothing is stored."""

    strategy: str
    stages: dict[str, int]  #: trials by stage
    trials: int  #: at most
    grid: int  #: trials of the grid over the same values
    sequential: int  #: trials of the sequential search over the same values
    totals: dict[str, int]  #: trials of every strategy over the same values
    refused: tuple[RefusedValue, ...]
    data: str  #: what was found in the data set, and what was left out; empty if none is named
    seconds: float | None  #: of all trials run one after another; null if no search of the recipe has finished


class EventView(View):
    """An event of a search; fields that do not apply to its kind are absent or null."""

    id: int
    at: float
    kind: EventKind
    status: Status | None = None
    requested_status: Status | None = None
    reason: str | None = None
    stage: str | None = None
    sentence: str | None = None  #: the reason of a choice
    slots: int | None = None
    alive: int | None = None  #: number of live nodes
    trials: int | None = None  #: number of trials that run again or are reused
    parent: str | None = None
    search: str | None = None  #: a child
    changed: tuple[str, ...] | None = None  #: changed fields of the description
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
    """Where a trial runs."""

    host: str = ""
    pid: int | None = None
    node: str | None = None  #: Ray node id
    gpus: tuple[int | str, ...] = ()  #: GPU ids reserved by Ray


class TrialRow(View):
    """A trial in a list."""

    trial_id: int
    stage: str
    number: int  #: within its stage
    variant: str
    gm: int
    gc: int
    seed: int
    state: TrialState
    value: float | None
    cause: Cause | None  #: null while running
    detail: str  #: for users: the reason, or the end of a traceback
    started_at: float
    seconds: float | None  #: null while running
    gm_total: int | None  #: groups over the whole batch
    group_size: int | None  #: samples; null without normalization
    epoch: int | None  #: lease epoch of the driver that started it
    reused_from: str | None  #: ``<search>/<stage>/<number>`` of the original
    where: TrialLocation | None

    @property
    def point(self) -> Point:
        """The point that it trains."""
        return Point(self.variant, self.gm, self.gc)

    @property
    def key(self) -> str:
        """The name of its folder and log, which all attempts at its point and seed share."""
        return Replicate(self.stage, self.point, self.seed).key


class LogPart(View):
    """A part of the log that all attempts at a trial's point and seed share."""

    text: str
    after: int  #: where the next part begins
    found: bool  #: whether the machine that answers has the log
    ended: bool  #: whether the trial has ended and this is the end of its log


class EpochView(View):
    """The metrics that a trial reported for an epoch."""

    epoch: int
    values: dict[str, JsonValue]  #: by name; non-finite numbers are text


class TrialView(TrialRow):
    """A trial with its metrics by epoch, and every attempt at the same point with the same seed."""

    metrics: tuple[EpochView, ...]
    attempts: tuple[TrialRow, ...]


class TrialPage(View):
    """A page of a list of trials."""

    trials: tuple[TrialRow, ...]
    next: int | None  #: ``after`` of the next page; null on the last


class SeedView(View):
    """A finished replicate, drawn as a dot."""

    variant: str
    gm: int
    gc: int
    seed: int
    value: float

    @property
    def point(self) -> Point:
        """The point that was trained."""
        return Point(self.variant, self.gm, self.gc)


class QuartilesView(View):
    """The spread of a candidate's replicates, drawn as a box."""

    variant: str
    gm: int
    gc: int
    quartiles: tuple[float, float, float, float, float]  #: minimum, three quartiles, maximum

    @property
    def point(self) -> Point:
        """The point that was trained."""
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

    @property
    def point(self) -> Point:
        """The point that was trained."""
        return Point(self.variant, self.gm, self.gc)


class Figure(View):
    """A Plotly figure."""

    data: list[dict[str, JsonValue]]
    layout: dict[str, JsonValue]


class WebhookView(View):
    """The body of a webhook: a search is done, failed, cancelled or paused."""

    id: str  #: the same for every attempt
    type: str  #: e.g. ``search.done``
    created_at: str  #: ISO 8601, UTC
    search: str
    name: str
    status: Status
    reason: str
    chosen: Point | None
    owner: str


class ExportRow(View):
    """A trial in an export."""

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
        """Return the exported fields of a trial."""
        return cls(**{name: getattr(trial, name) for name in cls.model_fields})


class ExportedCandidate(View):
    """A candidate in an export, once for each of its gains; one without a gain has none of their figures."""

    stage: str
    variant: str
    gm: int
    gc: int
    mean: float | None
    std: float | None
    sem: float | None
    n: int
    failed: int
    chosen: bool
    labels: str  #: of a point of stage ``test``, separated by commas
    why: str | None
    reference: str | None = None  #: what the gain is over
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    paired: bool | None = None
    verdict: Verdict | None = None
    more_seeds: int | None = None
    sentence: str | None = None

    @classmethod
    def list_rows(cls, stage: str, row: CandidateView, gains: Iterable[ComparisonView]) -> list[Self]:
        """Return the rows of a candidate."""
        fields = {name: getattr(row, name) for name in cls.model_fields if name in CandidateView.model_fields}
        labels = ", ".join(row.labels) if isinstance(row, MeasuredView) else ""
        found = [dict(gain) for gain in gains] or [{}]
        return [cls(stage=stage, labels=labels, **fields, **gain) for gain in found]


# The service


class WorkerView(View):
    """A live worker."""

    id: str
    host: str
    pid: int
    started_at: float
    seen_at: float
    busy: bool  #: whether it runs a search
    search: str | None  #: that it runs; null if that is another owner's, for a token that reads only one's own


class NodeView(View):
    """A node of a cluster, as last seen by a driver."""

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
    """A running search with its nodes."""

    slots: int | None
    trials: int  #: running
    nodes: tuple[NodeView, ...]


class WaitingView(_UnfinishedView):
    """A queued search with the reason."""

    position: int
    why: str


class ClusterView(View):
    """Workers, running searches and queued searches."""

    workers: tuple[WorkerView, ...]
    running: tuple[RunningView, ...]
    waiting: tuple[WaitingView, ...]


class NumberView(View):
    """A number of a recipe."""

    name: str
    default: NumberValue
    unit: str
    at_least: int | float | None  #: null for no limit
    at_most: int | float | None  #: null for the limit that all recipes have, or none
    choices: tuple[str, ...]


class RecipeKind(StrEnum):
    """Where a recipe comes from."""

    INSTALLED = "installed"  #: a package
    FILE = "file"  #: a file in the home folder, which describes a command


class RecipeView(View):
    """A recipe, with its numbers and presets. The command of one that a file describes is not shown."""

    name: str
    title: str
    kind: RecipeKind
    metric: str
    mode: Mode
    data: str  #: accepted data sets; empty if none
    presets: dict[str, dict[str, NumberValue]]
    numbers: tuple[NumberView, ...]

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """Return the description of a recipe."""
        from trainers.recipe import describe

        return cls.model_validate(describe(recipe))


class DataSetKind(StrEnum):
    """What a data set is made of."""

    FOLDER = "folder"  #: image files in class folders
    ARRAYS = "npz"  #: arrays in one file


class DataSetView(View):
    """A data set that a search can use."""

    name: str
    kind: DataSetKind
    size: int | None  #: bytes of its files; null where counting them would take long
    classes: int | None  #: null where that needs reading it


class TokenView(View):
    """A token, without its secret."""

    id: str
    name: str  #: its purpose
    owner: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None  #: null: never
    revoked_at: float | None
    last_used_at: float | None  #: to the minute
    active: bool


class NewTokenView(View):
    """A new token; its text is shown only once."""

    token: TokenView
    text: str = Field(repr=False)


class AuditView(View):
    """An entry of the audit log."""

    id: int
    at: float
    token_id: str | None  #: null if no token was used
    owner: str
    action: Action
    subject: str  #: the id of a search or a token, or the name of a data set
    detail: dict[str, JsonValue]


class HealthView(View):
    """The service and its database respond."""

    status: Literal["ok"]


class ReadinessView(View):
    """The state of each part that searches need: ``ok``, or what is missing."""

    database: str
    migrations: str
    worker: str
    ray: str

    @property
    def ready(self) -> bool:
        """Whether all parts are ready."""
        return all(part.startswith("ok") for part in (self.database, self.migrations, self.worker, self.ray))
