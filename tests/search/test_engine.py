"""Whole searches on a real Ray, from the command line."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import sqlite3
import stat
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from search.engine.locked_folder import LOCK_FILE
from search.engine.orphans import DRIVER_MODULE
from search.store import queries
from search.store.database import open_engine
from tests.processes import command_of
from tests.search.program import (
    interrupt,
    processes_of,
    seqnorm,
    seqnorm_json,
    start,
    wait_for_driver,
    wait_for_lines,
    wait_until_gone,
)

SPACE = ("--gm", "4,8", "--gc", "1,4", "--seeds", "2", "--test-seeds", "1")


@pytest.fixture(scope="module")
def digits(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """One sequential search on the real digits, shared by the tests that only look at it."""
    home = tmp_path_factory.mktemp("digits")
    return home, seqnorm_json(home, "tune", "digits-mlp", "--gm", "1,4,16", "--gc", "1,2", "--seeds", "2")


def test_tuning_in_sequence_chooses_gm_then_gc_and_measures_both_against_the_baselines(digits) -> None:
    _, result = digits
    assert result["status"] == "done"
    assert set(result) == {"search", "status", "strategy", "chosen", "stages", "test", "trials"}
    gm_stage, gc_stage = result["stages"]
    assert [candidate["gm"] for candidate in gm_stage["candidates"]] == [1, 4, 16]
    assert {candidate["gm"] for candidate in gc_stage["candidates"]} == {gm_stage["chosen"]["gm"]}
    assert result["chosen"] == gc_stage["chosen"]
    assert all(candidate["n"] == 2 and candidate["mean"] > 0.5 for candidate in gm_stage["candidates"])
    # half-way: guessing ends at 0.16 and these above 0.85, and rounding moves them by a few of 250 images
    labels = [label for row in result["test"] for label in row["labels"]]
    assert sorted(labels) == ["BatchNorm", "chosen GhostNorm", "chosen SeqNorm", "no normalization"]
    assert all(row["n"] == 3 and row["mean"] > 0.5 for row in result["test"])
    assert result["trials"]["failed"] == 0


def test_a_finished_search_is_shown_listed_and_resumed_without_training(digits) -> None:
    home, result = digits
    search_id = result["search"]
    assert seqnorm_json(home, "show", search_id) == result
    assert seqnorm_json(home, "resume", search_id) == result
    (row,) = seqnorm_json(home, "list")
    trained = result["trials"]["run"]
    assert (row["search"], row["status"], row["finished"], row["planned"]) == (search_id, "done", trained, trained)
    shown = seqnorm(home, "show", search_id).stdout
    assert result["stages"][0]["sentence"] in shown
    assert "chosen SeqNorm" in shown


def test_stock_optuna_reads_what_ray_trained(digits) -> None:
    home, result = digits
    url = f"sqlite:///{home / 'seqnorm.db'}"
    study = optuna.load_study(study_name=f"{result['search']}/gm", storage=url)
    means = {c["gm"]: c["mean"] for c in result["stages"][0]["candidates"]}
    for gm, mean in means.items():
        values = [trial.value for trial in study.trials if trial.params["gm"] == gm]
        assert sum(values) / len(values) == pytest.approx(mean)
    assert all(len(trial.intermediate_values) == 10 for trial in study.trials)


def test_what_trials_print_is_kept_in_a_file_each(digits) -> None:
    home, result = digits
    logs = list(home.glob(f"searches/{result['search']}/logs/*.log"))
    assert len(logs) == result["trials"]["run"]


def test_an_interrupted_search_is_finished_by_the_line_it_prints(
    own_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "not for trials")
    journal = tmp_path / "journal"
    slow = ("--set", "seconds=0.3", "--set", "epochs=5", "--set", f"journal={journal}")
    process = start(tmp_path, "tune", "planted", *SPACE, *slow, "--rounds", "1")
    wait_for_lines(journal, 5)  # so one trial began after another had ended
    private_ray_is_closed_to_others(tmp_path)
    _, said = interrupt(process)
    assert process.returncode == 130
    wait_until_gone(tmp_path)
    line = said.strip().splitlines()[-1]
    assert line.startswith("Interrupted. Finish it with: ")
    search_id = line.split()[-1]
    words = line.partition(f"--home {tmp_path} ")[2].split()
    assert words == ["resume", search_id]
    (row,) = seqnorm_json(tmp_path, "list")
    assert row["status"] == "paused"
    assert row["finished"] >= 1
    kept = finished_trials(tmp_path, search_id)
    before = Counter(journal.read_text().splitlines())

    result = seqnorm_json(tmp_path, *words)
    assert result["status"] == "done"
    assert result["chosen"] == {"variant": "main", "gm": 8, "gc": 4}
    after = Counter(journal.read_text().splitlines()) - before
    assert kept
    assert not {f"begin {trial}" for trial in kept} & set(after), "a finished trial was trained again"
    everything = finished_trials(tmp_path, search_id)
    assert len(everything) == len(set(everything)) == 2 * 2 + 2 * 2 + 2 + 4
    assert [stage["name"] for stage in result["stages"]] == ["gm", "gc", "gm-2"]
    assert result["stages"][2]["sentence"].startswith("Checked at gc=4: gm=8 stays. ")
    assert result["trials"]["reused"] == 2


def finished_trials(home: Path, search_id: str) -> list[str]:
    """Return the trials that were trained to their end, as the journal names them."""
    engine = open_engine(f"sqlite:///{home / 'seqnorm.db'}", read_only=True)
    with engine.connect() as connection:
        trials = queries.list_trials(connection, search_id, state="COMPLETE", limit=500)
    measures = {"test": "test"}
    return [
        f"{measures.get(trial.stage, 'validation')} gm={trial.gm} gc={trial.gc} seed={trial.seed}"
        for trial in trials
        if trial.reused_from is None
    ]


@pytest.mark.parametrize(
    ("moment", "numbers", "code"),
    [
        ("start-up", [signal.SIGHUP], 129),
        ("start-up", [signal.SIGTERM], 143),
        ("training", [signal.SIGINT, signal.SIGINT], 130),
    ],
)
def test_whenever_a_search_is_interrupted_it_is_paused_and_nothing_is_left(
    moment: str, numbers: list[signal.Signals], code: int, own_ray: None, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    process = start(tmp_path, "tune", "planted", *SPACE, "--set", "seconds=5", "--set", f"journal={journal}")
    if moment == "training":
        wait_for_lines(journal, 2)
    else:
        wait_for_driver(tmp_path)
    for number in numbers:
        os.killpg(process.pid, number)
        time.sleep(0.3)
    _, said = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Interrupted. Finish it with: " in said
    assert "Traceback" not in said
    wait_until_gone(tmp_path, 20)
    (row,) = seqnorm_json(tmp_path, "list")
    assert row["status"] == "paused"
    assert seqnorm_json(tmp_path, "show", row["search"])["status"] == "paused"
    with sqlite3.connect(tmp_path / "seqnorm.db") as connection:
        assert connection.execute("SELECT count(*) FROM trials WHERE state = 'RUNNING'").fetchone() == (0,)
    connection.close()
    assert not list(tmp_path.glob("searches/*/ray-*"))
    assert not [folder for folder in Path(tempfile.gettempdir()).glob("seqnorm-ray-*") if is_left(folder)]


def is_left(folder: Path) -> bool:
    """Whether the process whose private cluster a folder belongs to is gone: other tests may run at the same time."""
    with (folder / LOCK_FILE).open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_search_without_a_stable_candidate_fails_with_the_reason(shared_ray: None, tmp_path: Path) -> None:
    words = ("tune", "planted", "--gm", "8", "--gc", "1", "--seeds", "2", "--set", "raise_at=8")
    done = seqnorm(tmp_path, *words, expect=1)
    assert "The search is failed: stage gm: Nothing was chosen: none of 1 candidates is stable" in done.stderr
    assert "2 of 2 failed trials: raised: RuntimeError: planted fault at gm=8." in done.stderr


def private_ray_is_closed_to_others(home: Path) -> None:
    """Check what other users and hosts find of a search's own Ray, and what its processes were told."""
    processes = [process for process in processes_of(home) if DRIVER_MODULE not in command_of(process)]
    assert any("raylet" in command_of(process) for process in processes)
    for process in processes:
        assert "PGPASSWORD" not in process.environ(), command_of(process)
    (folder,) = {
        name for process in processes for name in re.findall(r"(/[^\s=]*/seqnorm-ray-[^/]+)/", command_of(process))
    }
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    listening = {
        (process.name(), socket.laddr.ip)
        for process in processes_of(home)
        for socket in process.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN
    }
    assert listening
    assert {place for place in listening if place[1].removeprefix("::ffff:") not in ("127.0.0.1", "::1")} == set()


def test_bad_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    for content, words in {
        "gm: [1": "-f must name a YAML or JSON file: got line 1 of",
        "- 1": "-f must name a file with the fields of a search: got a list in line 1 of",
        "recipe: planted\ngm: [3]\ngc: [1]\n": "gm must divide the batch: got gm=3 for 64 samples.",
    }.items():
        (tmp_path / "bad.yaml").write_text(content)
        assert words in seqnorm(tmp_path / "home", "submit", "-f", str(tmp_path / "bad.yaml"), expect=2).stderr
    assert "-f must name a readable file" in seqnorm(tmp_path / "home", "submit", "-f", "/no.yaml", expect=2).stderr
    assert not (tmp_path / "home").exists()


LITTLE = ("tune", "planted", "--gm", "4,8", "--gc", "4", "--seeds", "2", "--test-seeds", "1", "--set", "seconds=0.5")


@dataclass(frozen=True)
class Paused:
    """A little search that was paused in the middle, then resumed to its end."""

    home: Path
    code: int  #: of the command that was paused
    said: str
    left: list[psutil.Process]  #: processes of trials that outlived the pause
    result: dict[str, Any]  #: of its end

    @property
    def journal(self) -> Path:
        return self.home / "journal.jsonl"


@pytest.fixture(scope="module")
def paused(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Paused:
    """The search, with a journal and the variables of its trials."""
    home = tmp_path_factory.mktemp("little")
    journal = home / "journal.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQNORM_TRIAL_ENVIRONMENT", "MY_*")
        files = ("--set", f"journal={journal}", "--set", f"variables={home / 'variables'}")
        process = start(home, *LITTLE, *files, "--concurrency", "1")
        wait_for_lines(journal, 3)
        (row,) = seqnorm_json(home, "list", "--status", "running")
        assert seqnorm_json(home, "pause", row["search"]) == {
            "search": row["search"],
            "status": "running",
            "requested_status": "paused",
            "parent": None,
            "trials": None,
        }
        _, said = process.communicate(timeout=90)
        wait_until_gone(home, 20)
        pids = {json.loads(line)["pid"] for line in journal.read_text().splitlines()}
        _, left = psutil.wait_procs([each for each in psutil.process_iter() if each.pid in pids], timeout=20)
        journal.unlink()  # a trial that was cut wrote no end
        return Paused(home, process.returncode, said, left, seqnorm_json(home, "resume", row["search"]))


def test_a_paused_search_holds_no_process_and_is_resumed_to_its_end(paused: Paused) -> None:
    assert paused.code == 3
    assert "The search is paused: paused by a person" in paused.said
    assert paused.left == [], "trials outlive the pause"
    assert paused.result["status"] == "done"


def test_a_cap_on_concurrency_is_kept(paused: Paused) -> None:
    assert most_at_once(paused.journal) == 1


def test_recipes_on_a_cluster_see_the_variables_of_the_list_and_no_others(paused: Paused) -> None:
    seen = [set(line.split()) for line in (paused.home / "variables").read_text().splitlines()]
    assert len(seen) > 1, "loading data and training"
    for names in seen:
        assert names >= {"PATH", "HOME", "PYTHONPATH", "RAY_JOB_ID", "MY_LIBRARY"}
        assert names & {"PGPASSWORD", "RAY_AUTH_TOKEN", "SEQNORM_DB", "SEQNORM_TRIAL_ENVIRONMENT"} == set()


def test_what_trials_write_is_for_their_user_alone(paused: Paused) -> None:
    written = [path for path in paused.home.rglob("*") if path.name not in ("journal.jsonl", "variables")]
    assert len(written) > 5
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_two_processes_never_run_one_search_which_runs_as_many_trials_as_fit(shared_ray: None, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    longer = (*LITTLE[:-1], "seconds=2")  # it still runs when the second process is refused
    process = start(tmp_path, *longer, "--set", f"journal={journal}", "--concurrency", "2", "--json")
    wait_for_lines(journal, 1)
    (row,) = seqnorm_json(tmp_path, "list")
    refused = seqnorm(tmp_path, "resume", row["search"], expect=4)
    assert f"a search has one driver: got {row['search']}, which process" in refused.stderr
    printed, _ = process.communicate(timeout=300)
    assert json.loads(printed)["status"] == "done"
    assert most_at_once(journal) == 2


def most_at_once(journal: Path) -> int:
    """Return how many trials ran at the same time, at the most."""
    running, most = 0, 0
    for line in journal.read_text().splitlines():
        running += 1 if "begin" in line else -1
        most = max(most, running)
    return most


PROGRAM = """
if [ "$SEQNORM_GM" = 3 ]; then
    echo "seqnorm.checks.InvalidGroups: gm must divide the batch: got gm=3." >&2
    exit 1
fi
echo "$$ $SEQNORM_DRIVER" >> begun
sleep 0.5
echo "accuracy: 0.9$SEQNORM_GM"
echo "$SEQNORM_GM $SEQNORM_GC $SEQNORM_SEED $SEQNORM_SPLIT" >> ended
"""


def test_a_command_is_searched_whatever_dies_with_every_point_once(shared_ray: None, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    folder.mkdir()
    (folder / "train.sh").write_text(PROGRAM)
    words = ("--gm", "1,2,3", "--gc", "1,2", "--seeds", "2", "--test-seeds", "1", "--metric", "accuracy")
    with contextlib.chdir(folder):
        process = start(home, "tune", *words, "--", "sh", "train.sh")
    wait_for_lines(folder / "begun", 2)
    (driver,) = [each for each in processes_of(home) if DRIVER_MODULE in command_of(each)]
    driver.kill()
    wait_for_lines(folder / "begun", 5)  # by another one
    _, said = interrupt(process)
    assert process.returncode == 130, said
    wait_until_gone(home)
    begun = [line.split()[0] for line in (folder / "begun").read_text().splitlines()]
    assert [pid for pid in begun if psutil.pid_exists(int(pid))] == [], "programs outlive the pause"
    (row,) = seqnorm_json(home, "list")
    (folder / "train.sh").write_text(f"# edited\n{PROGRAM}")
    refused = seqnorm(home, "resume", row["search"], expect=3).stderr
    assert "a search must be resumed with unchanged code and data: got another train.sh" in refused
    (folder / "train.sh").write_text(PROGRAM)
    result = seqnorm_json(home, "resume", row["search"])
    assert result["status"] == "done"
    engine = open_engine(f"sqlite:///{home / 'seqnorm.db'}", read_only=True)
    with engine.connect() as connection:
        trials = queries.list_trials(connection, row["search"], limit=500)
    engine.dispose()
    finished = Counter((each.stage, each.gm, each.gc, each.seed) for each in trials if each.state == "COMPLETE")
    assert set(finished.values()) == {1}
    tuned = {("gm", gm, 0, seed) for gm in (1, 2) for seed in (0, 1)} | {
        ("gc", 2, gc, s) for gc in (1, 2) for s in (0, 1)
    }
    assert {key for key in finished if key[0] != "test"} == tuned
    said_by = {each.detail for each in trials if each.cause == "refused"}
    assert said_by == {"gm must divide the batch: got gm=3."}
    assert len([each for each in trials if each.gm == 3]) >= 2
    (out,) = [each for each in result["stages"][0]["candidates"] if each["gm"] == 3]
    assert (out["failed"], out["why"]) == (2, "out: gm must divide the batch: got gm=3.")


STEPS = """
step=$(cat "$SEQNORM_FOLDER/step" 2>/dev/null || echo 0)
echo "$$ $step" >> begun
while [ $step -lt 16 ]; do
    sleep 0.2
    step=$((step + 1))
    echo $step > "$SEQNORM_FOLDER/next" && mv "$SEQNORM_FOLDER/next" "$SEQNORM_FOLDER/step"
    echo "epoch $step accuracy: 0.9$SEQNORM_GM"
    echo $step >> steps
done
"""


def test_a_command_whose_worker_is_killed_goes_on_from_its_folder_under_another(
    shared_ray: None, tmp_path: Path
) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    folder.mkdir()
    (folder / "train.sh").write_text(STEPS)
    words = ("--strategy", "grid", "--gm", "1,2", "--gc", "0", "--seeds", "1", "--test-seeds", "1")
    with contextlib.chdir(folder):
        search_id = seqnorm(home, "submit", *words, "--", "sh", "train.sh").stdout.strip()
    worker = start(home, "worker")
    wait_for_lines(folder / "steps", 3)
    worker.kill()
    worker.communicate(timeout=30)
    wait_until_gone(home)
    begun = (folder / "begun").read_text().splitlines()
    pids = {int(line.split()[0]) for line in begun}
    _, left = psutil.wait_procs([each for each in psutil.process_iter() if each.pid in pids], timeout=20)
    assert left == [], "programs outlive their worker"
    assert seqnorm_json(home, "show", search_id)["status"] == "queued"
    another = start(home, "worker")
    seqnorm(home, "watch", search_id)
    interrupt(another)
    engine = open_engine(f"sqlite:///{home / 'seqnorm.db'}", read_only=True)
    with engine.connect() as connection:
        trials = queries.list_trials(connection, search_id, limit=500)
    engine.dispose()
    finished = Counter((each.stage, each.gm, each.gc, each.seed) for each in trials if each.state == "COMPLETE")
    assert set(finished.values()) == {1}
    assert {key for key in finished if key[0] != "test"} == {("grid", 1, 0, 0), ("grid", 2, 0, 0)}
    assert {each.cause for each in trials if each.state != "COMPLETE"} == {"cancelled"}
    again = (folder / "begun").read_text().splitlines()[len(begun) :]
    assert any(0 < int(line.split()[1]) < 16 for line in again), "no trial that was cut went on from its folder"
