"""Trials that raise, hang, hoard or die: the cause is named, the slot is free, the search goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from search.store import queries
from search.store.database import open_engine
from tests.search.program import seqnorm, seqnorm_json

FAULTS = {"raise_at": 1, "hang_at": 2, "hoard_at": 4, "die_at": 16, "diverge_at": 32, "chance_at": 64}


@pytest.fixture(scope="module")
def faulty(
    shared_ray: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """A grid in which every gm but 8 misbehaves in its own way."""
    home = tmp_path_factory.mktemp("faulty")
    folder = tmp_path_factory.mktemp("folder")  # of a person, whose files are not for us
    for name in ("random.py", "colorsys.py", "planted.py", "search/__init__.py", "trainers/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise SystemExit('imported from the folder of a person')")
    words = ["grid", "planted", "--gm", "1,2,4,8,16,32,64", "--gc", "4", "--seeds", "1", "--test-seeds", "1"]
    limits = ["--trial-timeout", "6", "--memory-gb", "0.5", "--set", "batch=128", "--set", "min_group=2"]
    faults = [word for name, gm in FAULTS.items() for word in ("--set", f"{name}={gm}")]
    with contextlib.chdir(folder):
        result = seqnorm_json(home, *words, *limits, *faults, "--set", f"journal={home / 'journal'}")
    engine = open_engine(f"sqlite:///{home / 'seqnorm.db'}", read_only=True)
    with engine.connect() as connection:
        trials = queries.list_trials(connection, result["search"], stage="grid", limit=500)
    engine.dispose()
    return home, result, trials


def causes(trials: list[dict[str, Any]], gm: int) -> list[str]:
    """Return the causes of the attempts at a point, in order."""
    return [trial.cause for trial in trials if trial.gm == gm]


def test_the_search_goes_on_to_the_point_that_behaves(faulty) -> None:
    _, result, _ = faulty
    assert result["status"] == "done"
    assert result["chosen"] == {"variant": "main", "gm": 8, "gc": 4}


def test_every_point_that_misbehaves_is_disqualified_and_no_other(faulty) -> None:
    _, result, _ = faulty
    (grid,) = result["stages"]
    assert [(c["gm"], c["gc"]) for c in grid["candidates"] if c["stable"]] == [(8, 4)]
    failed = {candidate["gm"]: candidate["failed"] for candidate in grid["candidates"]}
    assert failed == {1: 1, 2: 1, 4: 1, 8: 0, 16: 1, 32: 1, 64: 1}
    assert "6 of 7 candidates are not stable." in grid["sentence"]


def test_a_trial_that_raises_is_not_run_again_and_keeps_the_end_of_its_traceback(faulty) -> None:
    _, _, trials = faulty
    assert causes(trials, 1) == ["raised"]
    (trial,) = [trial for trial in trials if trial.gm == 1]
    assert trial.detail.strip().endswith("RuntimeError: planted fault at gm=1")


def test_a_trial_that_hangs_is_ended_at_its_time_limit_and_its_log_says_where_it_was(faulty) -> None:
    home, result, trials = faulty
    assert causes(trials, 2) == ["timeout"]
    log = home / "searches" / result["search"] / "logs" / "grid-main-gm2-gc4-seed0.log"
    assert "planted.py" in log.read_text()


def test_a_trial_that_takes_too_much_memory_is_named_so(faulty) -> None:
    _, _, trials = faulty
    assert causes(trials, 4) == ["out_of_memory"]


def test_a_trial_that_kills_its_process_each_time_is_given_up_at_the_third(faulty) -> None:
    home, _, trials = faulty
    assert causes(trials, 16) == ["lost", "lost", "crash_loop"]
    begun = (home / "journal").read_text().splitlines()
    assert begun.count("begin validation gm=16 gc=4 seed=0") == 3


def test_a_trial_that_ends_in_nan_has_diverged(faulty) -> None:
    _, _, trials = faulty
    assert causes(trials, 32) == ["diverged"]


ENDS = [  # of the planted recipe's misbehaviours, by seed
    ("raised", "an epoch must be an integer from 0 to 2147483647: got 0.5. Pass an int in this range."),
    ("raised", "an epoch must be an integer from 0 to 2147483647: got 2147483648. Pass an int in this range."),
    (
        "raised",
        "an epoch must be an integer from 0 to 2147483647: got 1180591620717411303424. Pass an int in this range.",
    ),
    ("raised", "metric validation_accuracy must be a number: got 'high'. Convert it with float()."),
    ("raised", "ValueError: a lone \\ud800 and a \\x00"),
    ("raised", "Speechless: <exception str() failed>"),
    ("raised", "SystemExit: 0"),
    ("raised", "KeyboardInterrupt"),
    ("raised", "planted:run must return a Result: got None. Return Result(value=…)."),
    ("raised", "the value that planted:run returns must be a number: got '0.9'. Convert it with float()."),
    ("diverged", "the metric must be at most 1e+100 in magnitude to be compared: got 1.7e+308"),
    ("raised", "ValueError: closed"),
    ("finished", ""),
]


def test_whatever_a_recipe_sends_or_raises_its_trial_fails_and_the_search_goes_on(
    shared_ray: None, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(
        f"recipe: planted\nstrategy: grid\ngm: [1, 8]\ngc: [4]\nseeds: {len(ENDS)}\ntest_seeds: 1\n"
        "max_failures_in_a_row: 20\nnumbers: {misbehave_at: 1}\n"
    )
    search_id = seqnorm(tmp_path, "submit", "-f", str(tmp_path / "spec.yaml")).stdout.strip()
    result = seqnorm_json(tmp_path, "resume", search_id)
    assert (result["status"], result["chosen"]["gm"]) == ("done", 8)
    engine = open_engine(f"sqlite:///{tmp_path / 'seqnorm.db'}", read_only=True)
    with engine.connect() as connection:
        trials = queries.list_trials(connection, search_id, stage="grid", gm=1, gc=4, limit=500)
    engine.dispose()
    assert sorted(trial.seed for trial in trials) == list(range(len(ENDS)))  # each was run once
    ends = {trial.seed: (trial.cause, trial.detail.strip()) for trial in trials}
    for seed, (cause, words) in enumerate(ENDS):
        assert ends[seed][0] == cause
        assert ends[seed][1].endswith(words), ends[seed]
        if cause == "raised":
            assert "planted.py" in ends[seed][1] or "planted:run" in words, ends[seed]  # where to look


def test_failures_in_a_row_pause_the_search_with_the_reason_and_retry_runs_them_again(
    shared_ray: None, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(
        "recipe: planted\ngm: [8]\ngc: [4]\nseeds: 4\ntest_seeds: 1\nmax_failures_in_a_row: 3\n"
        "numbers: {raise_unless: %s}\n" % (tmp_path / "mended")
    )
    search_id = seqnorm(tmp_path, "submit", "-f", str(tmp_path / "spec.yaml")).stdout.strip()
    left = seqnorm(tmp_path, "resume", search_id, expect=3)
    assert (
        "The search is paused: 3 trials in a row failed, the last one: raised: RuntimeError: not mended" in left.stderr
    )
    (tmp_path / "mended").touch()
    assert "trials of" in seqnorm(tmp_path, "retry", search_id).stdout
    result = seqnorm_json(tmp_path, "resume", search_id)
    assert result["status"] == "done"
    assert all(candidate["failed"] == 0 for stage in result["stages"] for candidate in stage["candidates"])
