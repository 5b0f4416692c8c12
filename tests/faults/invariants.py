"""The invariants I1 to I11: pure functions from what happened and what is left to violations, each a sentence.

They are those of a service with one ledger: Optuna's tables hold the trials, and the table `candidates` repeats them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.history import Command, Fault, History, Response, Sample, Step
from tests.faults.remains import Remains, Search, Trial

STATUS_AFTER = {"pause": ("paused", "done", "failed"), "cancel": ("cancelled",)}
STARTS = ("resume", "retry")  # what makes trials run again
REQUESTS = (*STATUS_AFTER, *STARTS)
MAX_LOSSES = 3  # of a replicate in the life of a driver


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is promised of a run, and the results that it must have."""

    lease_seconds: float
    honoured_seconds: float = 10.0  #: within which a request ends the trials, beside two leases
    start_seconds: float = 5.0  #: that a worker takes to start after a fault
    value: Callable[[Trial], float] | None = None  #: that a finished trial must have, to the bit
    chosen: Mapping[str, str] = field(default_factory=dict)  #: what an undisturbed run chooses in each stage

    @property
    def orphaned_seconds(self) -> float:
        return 2 * self.lease_seconds


Check = Callable[[History, Remains, Bounds], Iterator[str]]


def find_violations(history: History, remains: Remains, bounds: Bounds) -> list[str]:
    """Return what is wrong, each with the number of its invariant."""
    return [f"{name}: {sentence}" for name, check in CHECKS.items() for sentence in check(history, remains, bounds)]


def commands_are_kept(history: History, remains: Remains, _: Bounds) -> Iterator[str]:
    """I1: what was acknowledged is there, what is unknown is there once at most, and the last request wins."""
    for command in history.of(Command):
        if command.what in ("submit", "widen") and command.outcome == "ok" and not remains.find(command.answer):
            yield f"{command.what} of {command.search} was acknowledged, and there is no {command.answer}"
        if command.what == "submit" and command.outcome == "unknown":
            made = [search for search in remains.searches if search.name == command.search and not search.parent]
            if len(made) > 1:
                yield f"submit of {command.search} made {len(made)} searches"
        if command.what == "archive" and command.outcome == "ok":
            search = remains.find(command.search)
            starts = [c for c in history.of(Command, command.search) if c.what in STARTS and counts(c)]
            if search and not search.archived and not any(start.ended > command.began for start in starts):
                yield f"{command.search} was archived, and is not"
    for search in remains.searches:
        makers = [c for c in history.of(Command, search.id) if c.what in ("widen", "retry") and counts(c)]
        children = [child for child in remains.searches if child.parent == search.id]
        if len(children) > len(makers):
            yield f"{search.id} has {len(children)} children of {len(makers)} commands"
        last = list(_last_requests(history.of(Command, search.id)))
        if last and not any(_allows(command, search) for command in last):
            what = " or ".join(f"{command.what} ({command.outcome})" for command in last)
            yield f"{search.id} is {search.status} {search.reason!r} after {what}"


def _last_requests(commands: list[Command]) -> Iterator[Command]:
    """Return the requests that may have been the last: no acknowledged one came after their end."""
    given = [command for command in commands if command.what in REQUESTS and counts(command)]
    for command in given:
        if not any(other.outcome == "ok" and other.began > command.ended for other in given):
            yield command
    if given and all(command.outcome == "unknown" for command in given):  # then maybe none was carried out
        yield Command(what="none", search="", outcome="unknown", answer="", began=0, ended=0)


def counts(command: Command) -> bool:
    """Whether a command may have changed what is asked of a search; asking a cancelled one to pause does not."""
    told = command.what != "cancel" and command.answer.startswith("cancelled")
    return command.outcome != "refused" and not told


def _allows(command: Command, search: Search) -> bool:
    if command.what in STATUS_AFTER:
        return search.status in STATUS_AFTER[command.what]
    if command.what in STARTS:
        return search.status != "cancelled" and not (search.status == "paused" and "by a person" in search.reason)
    return True


def stages_are_complete(_: History, remains: Remains, __: Bounds) -> Iterator[str]:
    """I2: each replicate has one COMPLETE trial at most, a done search one result for each; numbers have no gaps."""
    for search in remains.searches:
        final = _by_key(trial for trial in search.trials if trial.is_final)
        for key, trials in final.items():
            complete = [trial for trial in trials if trial.state == "COMPLETE"]
            if len(complete) > 1:
                yield f"{key} of {search.id} has {len(complete)} COMPLETE trials"
        for stage in {trial.stage for trial in search.trials}:
            numbers = sorted(trial.number for trial in search.trials if trial.stage == stage)
            if numbers != list(range(len(numbers))):
                yield f"the numbers of stage {stage} of {search.id} are {numbers}"
        for stage, keys in search.planned.items() if search.status == "done" else ():
            missing = [key for key in keys if key not in final]
            if missing:
                yield f"{search.id} is done, and {len(missing)} replicates of {stage} have no result: {missing[0]}"


def nothing_runs_after_its_end(history: History, remains: Remains, bounds: Bounds) -> Iterator[str]:
    """I3: no attempt begins after its replicate was finished, its search cancelled, or a request long acknowledged."""
    for search in remains.searches:
        begins = [step for step in history.of(Step, search.id) if step.what == "begin"]
        samples, commands = history.of(Sample, search.id), history.of(Command, search.id)
        key_of = {str(trial.trial_id): trial for trial in search.trials}
        complete: dict[str, float] = {}
        for sample in samples:
            for trial_id, state in sample.trials.items():
                if state.startswith("COMPLETE") and trial_id in key_of:
                    complete.setdefault(key_of[trial_id].key, sample.at)
        for step in begins:
            if step.at > complete.get(step.key, float("inf")):
                yield f"{step.key} of {search.id} began again after it was COMPLETE"
        cancelled = min((sample.at for sample in samples if sample.status == "cancelled"), default=float("inf"))
        late = [step for step in begins if step.at > cancelled + 1]
        if late:
            yield f"{late[0].key} of {search.id} began {late[0].at - cancelled:.1f} s after the row said cancelled"
        for command in commands:
            if command.what in STATUS_AFTER and command.outcome == "ok" and counts(command):
                until = _end_of_request(command, commands)
                limit = command.ended + bounds.orphaned_seconds + bounds.honoured_seconds
                late = [step for step in begins if limit < step.at < until]
                if late:
                    seconds = late[0].at - command.ended
                    yield f"{late[0].key} began {seconds:.1f} s after {command.what} was acknowledged"


def _end_of_request(command: Command, commands: list[Command]) -> float:
    """Return when a later command may have replaced this one."""
    later = (other for other in commands if other is not command and other.what in STARTS and counts(other))
    return min((other.began for other in later if other.ended > command.began), default=float("inf"))


def interruptions_cost_one_attempt(history: History, remains: Remains, _: Bounds) -> Iterator[str]:
    """I4: a trial follows another of its replicate only if that one was interrupted; losses have a cap."""
    for search in remains.searches:
        retried = any(c.what == "retry" and counts(c) for c in history.of(Command, search.id))
        for key, trials in _by_key(search.trials).items():
            for before, after in pairwise(trials):
                if before.state == "RUNNING" or (before.is_final and not (retried and before.state == "FAIL")):
                    yield f"{key} of {search.id} ran again as {after.trial_id} after {before.state} {before.cause}"
            losses: dict[int | None, int] = defaultdict(int)
            for trial in trials:
                losses[trial.epoch] += trial.cause == "lost"
            if max(losses.values()) > MAX_LOSSES:
                yield f"{key} of {search.id} was lost {max(losses.values())} times under one lease"
        rows = _by_key(search.trials)
        begins: dict[str, int] = defaultdict(int)
        for step in history.of(Step, search.id):
            begins[step.key] += step.what == "begin"
        for key, count in begins.items():
            if count > len(rows.get(key, ())) + max(0, search.epoch - 1):
                yield f"{key} of {search.id} began {count} times, and has {len(rows.get(key, ()))} trials"


def epochs_fence(history: History, remains: Remains, _: Bounds) -> Iterator[str]:
    """I5: epochs only grow, no older one creates a trial, and no two trials of a replicate run at once."""
    for search in remains.searches:
        samples = history.of(Sample, search.id)
        for before, after in pairwise(samples):
            if after.epoch < before.epoch:
                yield f"the epoch of {search.id} fell from {before.epoch} to {after.epoch}"
        created = [trial for trial in search.trials if trial.epoch is not None]
        for before, after in pairwise(created):
            assert before.epoch is not None
            assert after.epoch is not None
            if after.epoch < before.epoch:
                yield f"trial {after.trial_id} of {search.id} has epoch {after.epoch}, one before it {before.epoch}"
        keys = {str(trial.trial_id): trial.key for trial in search.trials}
        for sample in samples:
            running = [keys.get(trial_id) for trial_id in _running(sample)]
            twice = {key for key in running if key and running.count(key) > 1}
            if twice:
                yield f"{twice.pop()} of {search.id} ran twice at once"
                break


def ends_are_final(history: History, remains: Remains, _: Bounds) -> Iterator[str]:
    """I6: trials that ended, and searches that are cancelled or done, do not change."""
    for search in remains.searches:
        retries = [c for c in history.of(Command, search.id) if c.what == "retry" and counts(c)]
        for before, after in pairwise(history.of(Sample, search.id)):
            for trial_id, state in before.trials.items():
                if not state.startswith("RUNNING") and after.trials.get(trial_id) != state:
                    yield f"trial {trial_id} of {search.id} was {state}, then {after.trials.get(trial_id)}"
            if before.status == "cancelled" != after.status:
                yield f"{search.id} was cancelled, then {after.status}"
            changed = before.status in ("done", "failed") and after.status != before.status
            if changed and not any(retry.began <= after.at for retry in retries):
                yield f"{search.id} was {before.status}, then {after.status}, and nobody retried it"


def rows_agree(history: History, remains: Remains, bounds: Bounds) -> Iterator[str]:
    """I7: the projection repeats the trials; none is RUNNING in an ended search, or for long without a lease."""
    for search in remains.searches:
        running = [trial.trial_id for trial in search.trials if trial.state == "RUNNING"]
        if running and search.status != "running":
            yield f"{search.id} is {search.status}, and its trials {running} are RUNNING"
        counted: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for key, trials in _by_key(search.trials).items():
            last = trials[-1]
            if last.is_final:
                counted[key.rpartition("-seed")[0]][last.state != "COMPLETE"] += 1
        if search.ended:
            for point in counted.keys() | search.counts.keys():
                if tuple(counted[point]) != tuple(search.counts.get(point, (0, 0))):
                    yield f"{point} of {search.id} has {counted[point]}, and its candidate {search.counts.get(point)}"
        yield from _orphaned(history.of(Sample, search.id), history.of(Fault), bounds)


def _orphaned(samples: list[Sample], faults: list[Fault], bounds: Bounds) -> Iterator[str]:
    """Find trials that were RUNNING for too long without a live lease, while nothing kept others from ending them."""
    since: dict[str, float] = {}
    for sample in samples:
        without_lease = [] if sample.held else _running(sample)
        since = {trial_id: since.get(trial_id, sample.at) for trial_id in without_lease}
        over = max((fault.until + bounds.start_seconds for fault in faults if fault.at <= sample.at), default=0.0)
        for trial_id, began in since.items():
            seconds = sample.at - max(began, over)
            if seconds > bounds.orphaned_seconds:
                yield f"trial {trial_id} of {sample.search} was RUNNING for {seconds:.1f} s without a live lease"
                return


def results_are_those_of_an_undisturbed_run(_: History, remains: Remains, bounds: Bounds) -> Iterator[str]:
    """I8: values are those that the recipe gives, and choices those of an undisturbed run."""
    for search in remains.searches:
        for trial in search.trials if bounds.value else ():
            assert bounds.value is not None
            if trial.state == "COMPLETE" and trial.value != bounds.value(trial):
                yield f"{trial.key} of {search.id} has {trial.value!r} instead of {bounds.value(trial)!r}"
        for stage, chosen in search.chosen.items() if search.parent is None else ():
            expected = bounds.chosen.get(stage, chosen)
            if chosen != expected:
                yield f"stage {stage} of {search.id} chose {chosen} instead of {expected}"


def nothing_is_left(_: History, remains: Remains, __: Bounds) -> Iterator[str]:
    """I9: no process, lease or working folder outlives what it was for."""
    yield from (f"a process is left: {words}" for words in remains.processes)
    yield from (f"a file is left: {file}" for file in remains.files)
    yield from (
        f"{search.id} is {search.status} and held" for search in remains.searches if search.ended and search.held
    )


def secrets_are_kept(_: History, remains: Remains, __: Bounds) -> Iterator[str]:
    """I10: no secret is in a log, a response or a file."""
    yield from (f"a secret is in {place}" for place in remains.leaks)


def answers_are_problems(history: History, _: Remains, __: Bounds) -> Iterator[str]:
    """I11: what is refused is refused as problem details; only 503 and 507 are the service's own, with Retry-After."""
    for response in history.of(Response):
        if response.status < 400:
            continue
        if response.content_type != "application/problem+json" or not _is_problem(response):
            yield f"{response.request} answered {response.status} with {response.content_type} {response.body[:200]!r}"
        if "Traceback" in response.body:
            yield f"{response.request} answered a traceback"
        if response.status >= 500 and response.status not in (503, 507):
            yield f"{response.request} answered {response.status}"
        if response.status in (503, 507) and not response.retry_after:
            yield f"{response.request} answered {response.status} without Retry-After"


def _is_problem(response: Response) -> bool:
    try:
        body = json.loads(response.body)
    except ValueError:
        return False
    return isinstance(body, dict) and body.get("status") == response.status and bool(body.get("title"))


def nothing_stands_still(_: History, remains: Remains, __: Bounds) -> Iterator[str]:
    """Once faults are over and a worker lives, a search ends or is paused."""
    for search in remains.searches:
        if search.status in ("queued", "running") or search.requested:
            yield f"{search.id} stands still: {search.status}, requested {search.requested}, {search.reason!r}"


def _by_key(trials: Iterator[Trial] | tuple[Trial, ...]) -> dict[str, list[Trial]]:
    found: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        found[trial.key].append(trial)
    return found


def _running(sample: Sample) -> list[str]:
    return [trial_id for trial_id, state in sample.trials.items() if state.startswith("RUNNING")]


CHECKS: dict[str, Check] = {
    "I1": commands_are_kept,
    "I2": stages_are_complete,
    "I3": nothing_runs_after_its_end,
    "I4": interruptions_cost_one_attempt,
    "I5": epochs_fence,
    "I6": ends_are_final,
    "I7": rows_agree,
    "I8": results_are_those_of_an_undisturbed_run,
    "I9": nothing_is_left,
    "I10": secrets_are_kept,
    "I11": answers_are_problems,
    "live": nothing_stands_still,
}
