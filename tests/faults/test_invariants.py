"""Each invariant is seen to fail on a history that breaks it, and none on one that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.history import Command, Fault, History, Record, Response, Sample, Step, kept_if_failed, load
from tests.faults.invariants import CHECKS, Bounds, find_violations
from tests.faults.remains import Remains, Search, Trial

BOUNDS = Bounds(lease_seconds=2, value=lambda trial: 0.9, chosen={"gm": "gm8 gc0"})
KEYS = ("gm-main-gm8-gc0-seed0", "gm-main-gm8-gc0-seed1")
TRIALS = tuple(
    Trial(
        trial_id=number + 1, stage="gm", number=number, key=key, gm=8, gc=0, seed=number,
        state="COMPLETE", value=0.9, cause=None, epoch=1,
    )
    for number, key in enumerate(KEYS)
)  # fmt: skip
SEARCH = Search(
    id="s", name="one", status="done", trials=TRIALS, planned={"gm": KEYS}, chosen={"gm": "gm8 gc0"},
    counts={"gm-main-gm8-gc0": (2, 0)},
)  # fmt: skip


def command(what: str, began: float, outcome: str = "ok", answer: str = "", search: str = "s") -> Command:
    return Command(what=what, search=search, outcome=outcome, answer=answer, began=began, ended=began + 0.1)


def sample(at: float, status: str = "running", held: bool = True, epoch: int = 1, **trials: str) -> Sample:
    named = {name.removeprefix("t"): state for name, state in trials.items()}
    return Sample(at=at, search="s", status=status, requested=None, epoch=epoch, held=held, trials=named)


def begin(at: float, number: int = 0) -> Step:
    return Step(at=at, what="begin", search="s", key=KEYS[number], pid=1)


SOUND: list[Record] = [
    command("submit", 0, answer="s", search="one"),
    sample(1, "queued", held=False, epoch=0),
    sample(2, t1="RUNNING"),
    begin(2),
    command("pause", 2.5, answer="running paused"),
    command("resume", 2.8, answer="running"),
    sample(3, t1="COMPLETE 0.9", t2="RUNNING"),
    begin(3, 1),
    sample(4, "done", held=False, t1="COMPLETE 0.9", t2="COMPLETE 0.9"),
    Response(at=1, request="GET /", status=404, content_type="application/problem+json", retry_after=None,
             body='{"status": 404, "title": "Not found"}'),
]  # fmt: skip


def violations(records: list[Record], *searches: Search, **left: tuple[str, ...]) -> list[str]:
    return find_violations(History(0, records), Remains(searches=searches or (SEARCH,), **left), BOUNDS)


def changed(position: int, /, **fields: object) -> Search:
    """Return the search with a changed trial."""
    trials = list(TRIALS)
    trials[position] = replace(trials[position], **fields)
    return replace(SEARCH, trials=tuple(trials))


def test_a_sound_history_violates_nothing() -> None:
    assert violations(SOUND) == []


PROBLEM = SOUND[-1]
AGAIN = replace(TRIALS[0], trial_id=3, number=2)
BROKEN: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "an acknowledged search that is not there": (
        "I1: submit of one was acknowledged, and there is no x",
        lambda: violations([*SOUND, command("submit", 0, answer="x", search="one")]),
    ),
    "an unknown submission that came twice": (
        "I1: submit of one made 2 searches",
        lambda: violations(
            [command("submit", 0, "unknown", search="one")], SEARCH, replace(SEARCH, id="t", trials=(), planned={})
        ),
    ),
    "a cancellation that was forgotten": (
        "I1: s is done '' after cancel (ok)",
        lambda: violations([*SOUND, command("cancel", 3.5, answer="running cancelled")]),
    ),
    "a resumption that a pause written later undid": (
        "I1: s is paused 'paused by a person' after resume (ok)",
        lambda: violations(SOUND, replace(SEARCH, status="paused", reason="paused by a person")),
    ),
    "an archived search that is listed": (
        "I1: s was archived, and is not",
        lambda: violations([*SOUND, command("archive", 5)]),
    ),
    "a child that nobody asked for": (
        "I1: s has 1 children of 0 commands",
        lambda: violations(SOUND, SEARCH, replace(SEARCH, id="t", parent="s")),
    ),
    "two COMPLETE trials of a replicate": (
        "I2: gm-main-gm8-gc0-seed0 of s has 2 COMPLETE trials",
        lambda: violations(SOUND, replace(SEARCH, trials=(*TRIALS, AGAIN))),
    ),
    "a gap between numbers": (
        "I2: the numbers of stage gm of s are [0, 2]",
        lambda: violations(SOUND, changed(1, number=2)),
    ),
    "a done search without a result": (
        "I2: s is done, and 1 replicates of gm have no result: gm-main-gm8-gc0-seed1",
        lambda: violations(SOUND, changed(1, state="FAIL", value=None, cause="lost")),
    ),
    "a trial that begins after its replicate is COMPLETE": (
        "I3: gm-main-gm8-gc0-seed0 of s began again after it was COMPLETE",
        lambda: violations([*SOUND, begin(3.5)]),
    ),
    "a trial that begins after the search is cancelled": (
        "I3: gm-main-gm8-gc0-seed1 of s began 2.0 s after the row said cancelled",
        lambda: violations([sample(1, "cancelled"), begin(3, 1)], replace(SEARCH, status="cancelled")),
    ),
    "a request that is not honoured": (
        "I3: gm-main-gm8-gc0-seed1 began 15.9 s after pause was acknowledged",
        lambda: violations([command("pause", 1), begin(17, 1)]),
    ),
    "a trial that follows a finished one": (
        "I4: gm-main-gm8-gc0-seed0 of s ran again as 3 after COMPLETE None",
        lambda: violations(SOUND, replace(SEARCH, trials=(*TRIALS, AGAIN))),
    ),
    "a replicate that is lost without end": (
        "I4: gm-main-gm8-gc0-seed0 of s was lost 4 times under one lease",
        lambda: violations(
            SOUND,
            replace(
                SEARCH,
                trials=tuple(
                    replace(TRIALS[0], trial_id=number, number=number, state="FAIL", value=None, cause="lost")
                    for number in range(4)
                ),
            ),
        ),
    ),
    "more attempts than trials": (
        "I4: gm-main-gm8-gc0-seed1 of s began 2 times, and has 1 trials",
        lambda: violations([*SOUND, begin(3.2, 1)]),
    ),
    "an epoch that falls": (
        "I5: the epoch of s fell from 2 to 1",
        lambda: violations([sample(1, epoch=2), sample(2, epoch=1)]),
    ),
    "a trial of an older epoch": (
        "I5: trial 2 of s has epoch 1, one before it 2",
        lambda: violations(SOUND, changed(0, epoch=2)),
    ),
    "two attempts at once": (
        "I5: gm-main-gm8-gc0-seed0 of s ran twice at once",
        lambda: violations([sample(1, t1="RUNNING", t3="RUNNING")], replace(SEARCH, trials=(*TRIALS, AGAIN))),
    ),
    "a result that changes": (
        "I6: trial 1 of s was COMPLETE 0.9, then COMPLETE 0.8",
        lambda: violations([*SOUND, sample(5, "done", t1="COMPLETE 0.8", t2="COMPLETE 0.9")]),
    ),
    "a cancelled search that runs": (
        "I6: s was cancelled, then running",
        lambda: violations([sample(1, "cancelled"), sample(2)]),
    ),
    "a done search that runs, and nobody retried it": (
        "I6: s was done, then queued, and nobody retried it",
        lambda: violations([*SOUND, sample(5, "queued", t1="COMPLETE 0.9", t2="COMPLETE 0.9")]),
    ),
    "a RUNNING trial of an ended search": (
        "I7: s is done, and its trials [2] are RUNNING",
        lambda: violations(SOUND, changed(1, state="RUNNING", value=None)),
    ),
    "a candidate that counts another number of trials": (
        "I7: gm-main-gm8-gc0 of s has [2, 0], and its candidate (1, 0)",
        lambda: violations(SOUND, replace(SEARCH, counts={"gm-main-gm8-gc0": (1, 0)})),
    ),
    "a RUNNING trial without a lease": (
        "I7: trial 1 of s was RUNNING for 5.0 s without a live lease",
        lambda: violations([sample(at, held=False, t1="RUNNING") for at in (1, 6)]),
    ),
    "a RUNNING trial without a lease after a fault": (
        "I7: trial 1 of s was RUNNING for 4.5 s without a live lease",
        lambda: violations(
            [
                Fault(at=1, name="kill", until=2),
                *(sample(at, held=False, t1="RUNNING") for at in (1, 6, 11, 11.5)),
            ]
        ),
    ),
    "a value that the recipe does not give": (
        "I8: gm-main-gm8-gc0-seed0 of s has 0.8 instead of 0.9",
        lambda: violations(SOUND, changed(0, value=0.8)),
    ),
    "another choice": (
        "I8: stage gm of s chose gm4 gc0 instead of gm8 gc0",
        lambda: violations(SOUND, replace(SEARCH, chosen={"gm": "gm4 gc0"})),
    ),
    "a process that is left": ("I9: a process is left: ray", lambda: violations(SOUND, processes=("ray",))),
    "a folder that is left": ("I9: a file is left: /tmp/x", lambda: violations(SOUND, files=("/tmp/x",))),
    "a lease that is left": ("I9: s is done and held", lambda: violations(SOUND, replace(SEARCH, held=True))),
    "a secret in a log": ("I10: a secret is in worker.log", lambda: violations(SOUND, leaks=("worker.log",))),
    "a refusal in plain text": (
        "I11: GET / answered 404 with text/plain 'no'",
        lambda: violations([replace(PROBLEM, content_type="text/plain", body="no")]),
    ),
    "a traceback": (
        "I11: GET / answered a traceback",
        lambda: violations([replace(PROBLEM, body=json.dumps({"status": 404, "title": "Traceback"}))]),
    ),
    "an internal error": (
        "I11: GET / answered 500",
        lambda: violations([replace(PROBLEM, status=500, body='{"status": 500, "title": "no"}')]),
    ),
    "a 503 that does not say when to come again": (
        "I11: GET / answered 503 without Retry-After",
        lambda: violations([replace(PROBLEM, status=503, body='{"status": 503, "title": "no"}')]),
    ),
    "a search that stands still": (
        "live: s stands still: running, requested None, ''",
        lambda: violations([], replace(SEARCH, status="running")),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_history_violates_its_invariant(name: str) -> None:
    sentence, find = BROKEN[name]
    assert sentence in find()


def test_every_invariant_is_seen_to_fail() -> None:
    assert {sentence.partition(":")[0] for sentence, _ in BROKEN.values()} == CHECKS.keys()


@pytest.mark.parametrize(
    "records",
    [
        [command("pause", 1), command("cancel", 1.05)],  # at once: either may be the last
        [command("cancel", 1), command("resume", 2, "unknown")],
        [command("cancel", 1, "refused")],
        [command("cancel", 1, "unknown")],
        [command("cancel", 1), command("resume", 2)],
    ],
)
def test_what_may_have_been_the_last_request_explains_a_status(records: list[Record]) -> None:
    assert [each for each in violations(records) if each.startswith("I1")] == []


def test_the_history_of_a_run_that_fails_is_kept_with_its_seed(tmp_path: Path) -> None:
    history = History(7, [*SOUND, Fault(at=1, name="kill", until=2)])
    with pytest.raises(AssertionError) as caught, kept_if_failed(history, tmp_path):
        raise AssertionError("violated")
    assert caught.value.__notes__ == [f"seed 7; its history is kept in {tmp_path / 'seed-7.jsonl'}"]
    again = load(tmp_path / "seed-7.jsonl")
    assert (again.seed, again.records) == (7, history.records)
