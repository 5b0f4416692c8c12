"""The command line: help, bad input, and what is left behind (nothing)."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from typer import Context
from typer.main import get_command

from search.cli import main
from search.cli.app import app
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import queries
from search.store.database import open_engine
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from service.accounts.__main__ import app as tokens
from tests.search.program import run, seqnorm, seqnorm_json
from tests.search.stored import finished_search, open_recorder, submit

TUNE = ["tune", "mnist-simplenet", "--gm", "1,2", "--gc", "1"]


def refused(home: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that is refused; return what it says, having seen that nothing was stored."""
    monkeypatch.setattr(sys, "argv", ["seqnorm", "--home", str(home), *words])
    with pytest.raises(SystemExit) as left:
        main()
    printed = capsys.readouterr()
    assert left.value.code == 2
    assert printed.out == ""
    assert not home.exists()
    return printed.err.strip()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["tune", "nosuch", "--gm", "1", "--gc", "1"],
            "error: no recipe is named 'nosuch'. Known: cifar10-resnet56, cifar10-wrn28x10, cifar100-wrn28x10, "
            "digits-mlp, imagenet-resnet18, images, mnist-simplenet, planted, planted-loss.",
        ),
        (
            ["tune", "mnist-simplenet", "--gm", "1,3", "--gc", "1"],
            "error: gm must divide the batch: got gm=3 for 512 samples. Use a divisor, e.g. 1, 2, 4.",
        ),
        (
            ["tune", "mnist-simplenet", "--gm", "256", "--gc", "1"],
            "error: groups must hold at least min_group=4 samples: got gm=256, groups of 2 of 512 samples. "
            "Use gm up to 128, or allow it with --set min_group=2.",
        ),
        (
            ["tune", "mnist-simplenet", "--gm", "1", "--gc", "8"],
            "error: gc must divide every normalized width into groups of 2 or more: got gc=8 for widths 512, 300. "
            "Use 1, 2, 4.",
        ),
        (
            ["tune", "mnist-simplenet", "--gm", "", "--gc", "1"],
            "error: gm must hold at least one value: got []. Give group counts along the mini-batch to try.",
        ),
        (
            ["tune", "mnist-simplenet", "--gm", "one", "--gc", "1"],
            "error: --gm must be whole numbers separated by commas: got 'one'. Give e.g. --gm 1,2,4.",
        ),
        (
            [*TUNE, "--set", "epoch=3"],
            "error: mnist-simplenet has no number epoch: got epoch=3. "
            "Use epochs; seqnorm recipes mnist-simplenet lists them all.",
        ),
        (
            [*TUNE, "--set", "epochs"],
            "error: --set must be NAME=VALUE: got 'epochs'. Give e.g. --set epochs=10.",
        ),
        (
            [*TUNE, "--set", "epochs=1", "--set", "epochs=2"],
            "error: --set must give a number once: got epochs 2 times. Leave one.",
        ),
        (
            ["tune", "digits-mlp", "--gm", "1", "--gc", "1", "--set", "batch=100000"],
            "error: the training split must fill a batch: got 1295 samples for batch=100000. "
            "Choose a smaller batch (--set batch=…).",
        ),
        (
            ["tune", "mnist-simplenet", "--gm", "1,,2", "--gc", "1"],
            "error: --gm must be whole numbers separated by commas: got '1,,2'. Give e.g. --gm 1,2,4.",
        ),
        (
            [*TUNE, "--tolerance", "wide"],
            "error: --tolerance must be a number or auto: got 'wide'. Give e.g. --tolerance auto.",
        ),
        (
            ["tune", "digits-mlp", "--gm", "1", "--gc", "1", "--data", "/nowhere.npz"],
            "error: digits-mlp takes no data set: got /nowhere.npz. Leave out --data.",
        ),
    ],
)
def test_bad_input_gets_one_sentence_and_stores_nothing(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    advised = said.replace("seqnorm recipes", f"seqnorm --home {home} recipes")
    assert refused(home, words, monkeypatch, capsys) == advised


def test_a_missing_npz_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(tmp_path / "home", [*TUNE, "--data", str(tmp_path / "no.npz")], monkeypatch, capsys)
    assert said.startswith(f"error: --data must name an existing .npz file: got {tmp_path / 'no.npz'}. Give one with x")


def test_a_malformed_npz_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(file := tmp_path / "bad.npz", x=np.zeros((9, 4, 4)), y=np.zeros(9, dtype=int))
    said = refused(tmp_path / "home", [*TUNE, "--data", str(file)], monkeypatch, capsys)
    assert f"x must be uint8 [N,H,W] or [N,H,W,C]: got float64 [9, 4, 4] in {file}." in said


def test_an_encrypted_npz_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(file := tmp_path / "secret.npz", x=np.zeros((9, 4, 4), np.uint8), y=np.arange(9) % 3)
    content = bytearray(file.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] = 1
    file.write_bytes(content)
    said = refused(tmp_path / "home", [*TUNE, "--data", str(file)], monkeypatch, capsys)
    assert said.startswith(f"error: --data must be an .npz file without pickles: got {file} (File 'x.npy' is encrypted")


def test_more_than_a_ceiling_is_refused_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(tmp_path / "home", [*TUNE, "--cpus", "1e-9"], monkeypatch, capsys)
    assert said == (
        "error: cpus must be at least 0.1 here: got 1e-09. Ask for more, or ask the operator (SEQNORM_MIN_CPUS)."
    )


def test_too_few_images_for_a_batch_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = np.zeros((100, 4, 4), dtype=np.uint8), np.arange(100) % 10
    np.savez(file := tmp_path / "few.npz", x=x, y=y)
    said = refused(tmp_path / "home", [*TUNE, "--data", str(file)], monkeypatch, capsys)
    assert f"the training split must fill a batch: got 80 of {file} for batch=512." in said


def test_an_unwritable_database_is_named(tmp_path: Path) -> None:
    done = seqnorm(Path("/proc/nowhere"), *TUNE, expect=2)
    assert done.stderr.startswith("error: the database's folder must be writable: got /proc/nowhere")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "seqnorm.db").write_text("this is no database, whatever its name says" * 50)
    done = seqnorm(tmp_path, *TUNE, expect=2)
    assert "error: the database must be readable and writable: got" in done.stderr
    assert "file is not a database" in done.stderr


def test_an_unknown_search_is_named(tmp_path: Path) -> None:
    seqnorm(tmp_path, "db", "upgrade")
    for command in ("show", "resume", "watch", "pause", "cancel", "retry", "widen"):
        done = seqnorm(tmp_path, command, "nowhere", expect=2)
        assert done.stderr.startswith("error: no search has the id 'nowhere'. List them with: ")
        assert done.stderr.endswith(f"seqnorm --home {tmp_path} list\n")


def test_commands_that_read_create_no_database(tmp_path: Path) -> None:
    for words in (["list"], ["show", "x"], ["resume", "x"], ["pause", "x"]):
        done = seqnorm(tmp_path / "home", *words, expect=2)
        assert done.stderr.startswith(
            f"error: the database must exist: got {tmp_path / 'home' / 'seqnorm.db'}. Name it"
        )
    assert not (tmp_path / "home").exists()


def test_an_empty_list_says_how_to_start(tmp_path: Path) -> None:
    seqnorm(tmp_path, "db", "upgrade")
    line = seqnorm(tmp_path, "list").stdout.strip()
    assert line.startswith("No searches yet. Start one with: ")
    assert line.endswith(f"seqnorm --home {tmp_path} tune digits-mlp --gm 1,2,4,8 --gc 1,2")
    assert seqnorm(tmp_path, "list", "--status", "done").stdout.strip() == "No search is done."


def test_a_list_shows_whole_ids_however_narrow_the_terminal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'seqnorm.db'}"
    ids = [submit(url, name="a long name " * 10) for _ in range(2)]
    shown = seqnorm(tmp_path, "list").stdout
    assert all(search_id in shown for search_id in ids)


def test_a_status_that_no_search_can_have_is_refused(tmp_path: Path) -> None:
    seqnorm(tmp_path, "db", "upgrade")
    done = seqnorm(tmp_path, "list", "--status", "asleep", expect=2)
    assert done.stderr == (
        "error: --status must be one of queued, running, paused, done, failed, cancelled: got 'asleep'. "
        "Leave it out for all.\n"
    )


def test_a_search_whose_driver_is_gone_is_shown_with_what_to_do_and_changed_by_commands_that_change_it(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'seqnorm.db'}"
    search_id = submit(url)
    recorder = open_recorder(url, search_id, lease_seconds=-1)
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    gone = f"its driver is gone; a worker takes it over, or: seqnorm resume {search_id}"
    for _ in range(2):
        assert seqnorm_json(tmp_path, "show", search_id)["status"] == "running"
        assert [(row["status"], row["reason"]) for row in seqnorm_json(tmp_path, "list")] == [("running", gone)]
    assert seqnorm_json(tmp_path, "pause", search_id)["status"] == "paused"
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        (trial,) = queries.list_trials(connection, search_id)
    assert (trial.state, trial.cause, trial.detail) == ("FAIL", "lost", "its driver was lost")


def test_serving_on_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = seqnorm(tmp_path, "serve", "--port", str(port), expect=2)
    assert done.stderr.startswith(f"error: the port must be free: got {port} on 127.0.0.1 (")
    assert "error: the port must be free: got 99999" in seqnorm(tmp_path, "serve", "--port", "99999", expect=2).stderr


def test_recipes_are_listed_and_one_of_them_with_its_numbers_and_presets(tmp_path: Path) -> None:
    everything = seqnorm(tmp_path, "recipes").stdout
    assert "mnist-simplenet" in everything
    assert "learning_rate" not in everything
    one = seqnorm(tmp_path, "recipes", "imagenet-resnet18").stdout
    assert re.search(r"learning_rate +2.048 +at the end of the warmup", one)
    assert "preset 250-epochs: epochs=250 mixup=0.2" in one
    assert "mnist-simplenet" not in one


def test_a_preset_is_taken_and_what_set_says_goes_before_it(tmp_path: Path) -> None:
    refused = seqnorm(tmp_path, *TUNE, "--preset", "short", expect=2).stderr
    assert refused == "error: mnist-simplenet has no preset short: got --preset short. Known: none.\n"
    words = ["tune", "imagenet-resnet18", "--gm", "1", "--gc", "1", "--preset", "250-epochs", "--set", "mixup=-1"]
    assert "mixup must be at least 0" in seqnorm(tmp_path, *words, expect=2).stderr


def test_a_search_without_its_data_set_says_what_to_put_where_and_stores_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    said = seqnorm(home, "tune", "cifar10-resnet56", "--gm", "1", "--gc", "1", expect=2).stderr
    assert said.startswith(f"error: CIFAR-10 must be at {home / 'data' / 'cifar-10-batches-py'}: got no such folder.")
    assert "--download" in said
    assert "--data" in seqnorm(home, "tune", "images", "--gm", "1", "--gc", "1", expect=2).stderr
    assert not home.exists()


def test_a_plan_counts_trials_and_names_refused_values_and_stores_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = ["plan", "planted", "--gm", "1,3,4", "--gc", "1,7", "--seeds", "2"]
    said = seqnorm(home, *words).stdout
    assert re.search(r"stage gm +6 trials\nstage gc +4 trials\nstage test +12 trials\n", said)
    assert "22 trials at most; grid would take 21." in said
    assert "gm=3 is refused: gm must divide the batch: got gm=3 for 64 samples." in said
    assert "gc=7 is refused: gc must divide every normalized width" in said
    planned = seqnorm_json(home, *words, "--strategy", "grid")
    assert (planned["strategy"], planned["trials"], planned["sequential"]) == ("grid", 21, 22)
    assert [refused["value"] for refused in planned["refused"]] == ["gm=3", "gc=7"]
    assert planned["seconds"] is None
    assert not home.exists()


def test_a_plan_is_of_flags_or_of_a_file_that_flags_override(tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text("{recipe: planted, gm: [1], gc: [1], seeds: 1, strategy: grid}")
    assert seqnorm_json(tmp_path, "plan", "-f", str(tmp_path / "search.yaml"))["stages"] == {"grid": 1, "test": 9}
    both = seqnorm_json(tmp_path, "plan", "-f", str(tmp_path / "search.yaml"), "--seeds", "2", "--gm", "1,2")
    assert both["stages"] == {"grid": 4, "test": 9}
    assert "a search needs a recipe" in seqnorm(tmp_path, "plan", expect=2).stderr
    unknown = seqnorm(tmp_path, "plan", *TUNE[1:], "--set", "epoch=1", expect=2).stderr
    assert unknown.startswith("error: mnist-simplenet has no number epoch: got epoch=1.")


def test_a_plan_tells_the_time_that_the_last_search_of_the_recipe_leads_one_to_expect(tmp_path: Path) -> None:
    finished_search(f"sqlite:///{tmp_path / 'seqnorm.db'}")
    planned = seqnorm_json(tmp_path, "plan", "planted", "--gm", "1", "--gc", "1")
    assert planned["seconds"] > 0
    assert (
        "Run one after another, they take about"
        in seqnorm(tmp_path, "plan", "planted", "--gm", "1", "--gc", "1").stdout
    )


def test_every_trial_is_exported_with_harmless_texts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'seqnorm.db'}"
    search_id = submit(url, gm=[1], gc=[1], seeds=2)
    recorder = open_recorder(url, search_id)
    recorder.open(stage := recorder._plan.build_stage("gm", []))
    for replicate, outcome in zip(
        stage.replicates(), (Outcome(value=0.5), Outcome(cause=Cause.RAISED, detail='=cmd|"x"')), strict=True
    ):
        recorder.finish(recorder.start(replicate), outcome)
    out = tmp_path / "trials.csv"
    assert seqnorm(tmp_path, "export", search_id, "-o", str(out)).stdout == ""
    first, second = csv.DictReader(out.read_text().splitlines())
    expected = {"stage": "gm", "variant": "main", "gm": "1", "gc": "0", "seed": "0", "state": "COMPLETE"}
    assert expected.items() <= first.items()
    assert (first["cause"], first["value"], first["gm_total"], first["group_size"]) == ("finished", "0.5", "1", "64")
    assert (second["state"], second["cause"], second["detail"]) == ("FAIL", "raised", '\'=cmd|"x"')
    rows = json.loads(seqnorm(tmp_path, "export", search_id, "--format", "json").stdout)
    assert [(row["value"], row["detail"]) for row in rows] == [(0.5, ""), (None, '=cmd|"x"')]
    assert [path.name for path in tmp_path.glob("trials*")] == ["trials.csv"]


def test_an_export_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    search_id = submit(f"sqlite:///{tmp_path / 'seqnorm.db'}")
    (out := tmp_path / "trials.csv").write_text("older")
    assert "no search has the id" in seqnorm(tmp_path, "export", "nowhere", "-o", str(out), expect=2).stderr
    assert out.read_text() == "older"
    for name in ("", "no/where.csv"):
        said = seqnorm(tmp_path, "export", search_id, "-o", str(tmp_path / name), expect=2).stderr
        assert said.startswith(f"error: -o must name a file that can be written: got {tmp_path / name} (")
    unknown = seqnorm(tmp_path, "export", search_id, "--format", "cvs", expect=2).stderr
    assert unknown == "error: --format must be one of csv, json: got 'cvs'. Leave it out for csv. Did you mean csv?\n"


def test_an_export_replaces_no_pipe_and_no_link(tmp_path: Path) -> None:
    search_id = submit(f"sqlite:///{tmp_path / 'seqnorm.db'}")
    os.mkfifo(pipe := tmp_path / "pipe")
    with ThreadPoolExecutor() as reader:
        read = reader.submit(pipe.read_text)
        seqnorm(tmp_path, "export", search_id, "-o", str(pipe))
        assert read.result(timeout=10).startswith("stage,number,variant,gm,gc,seed,state")
    assert pipe.is_fifo()
    (link := tmp_path / "link").symlink_to(tmp_path / "target.csv")
    seqnorm(tmp_path, "export", search_id, "-o", str(link))
    assert link.is_symlink()
    assert (tmp_path / "target.csv").read_text().startswith("stage,")


def test_a_command_works_in_one_place(tmp_path: Path) -> None:
    said = seqnorm(tmp_path, "--db", "sqlite:///x.db", "--url", "http://127.0.0.1:1", "list", expect=2).stderr
    assert said == "error: a command takes either --url or --db: got both. Leave out one of them.\n"


def test_a_command_in_a_folder_that_was_deleted_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deleted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    done = run("--home", str(tmp_path), "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the current folder must exist: got No such file or directory. Change to another, e.g. with: cd\n"
    )


@pytest.mark.parametrize("command", ["worker", "serve"])
def test_a_worker_with_an_address_that_is_none_is_refused_at_its_start(tmp_path: Path, command: str) -> None:
    done = run("--home", str(tmp_path / "home"), command, RAY_ADDRESS="http://127.0.0.1:8265")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: the Ray cluster in RAY_ADDRESS must answer: got http://127.0.0.1:8265 (an address"
    )
    assert not (tmp_path / "home").exists()


def test_json_is_whole_in_an_encoding_that_cannot_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search_id = submit(f"sqlite:///{tmp_path / 'seqnorm.db'}", name="größe … 😀")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    for words in (["show", search_id], ["list"]):
        monkeypatch.setattr(sys, "argv", ["seqnorm", "--home", str(tmp_path), *words, "--json"])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0
    shown, listed = map(json.loads, out.buffer.getvalue().decode("ascii").splitlines())
    assert (shown["search"], listed[0]["name"]) == (search_id, "größe … 😀")


def test_a_token_can_be_given_in_no_flag() -> None:
    """Everybody on a machine sees the words of its commands."""
    commands = [get_command(app), *get_command(app).commands.values(), *get_command(tokens).commands.values()]
    parameters = [each for command in commands for each in command.get_params(Context(command))]
    assert not [option for each in parameters for option in each.opts if "token" in option]


def test_tokens_of_a_database_that_is_none_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "seqnorm.db").write_text("this is no database, whatever its name says" * 50)
    done = seqnorm(tmp_path, "token", "list", expect=2)
    assert "error: the database must be readable and writable: got" in done.stderr
    assert "Traceback" not in done.stderr


def test_serving_other_machines_is_refused_without_a_token(tmp_path: Path) -> None:
    done = seqnorm(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0", expect=2)
    assert done.stderr.startswith("error: a service that other machines reach must have a token: got none, for 0.0.0.0")


def test_help_version_and_completion_load_none_of_the_heavy_libraries() -> None:
    """They are to answer at once; what they import is what decides that."""
    heavy = "torch", "ray", "optuna", "sqlalchemy", "numpy", "alembic", "pydantic"
    script = f"""
import os, sys
from search.cli import main
os.environ.update(COMP_WORDS="seqnorm tu", COMP_CWORD="1")
for word in "--help", "--version", "":
    sys.argv = ["seqnorm", word]
    os.environ["_SEQNORM_COMPLETE"] = "" if word else "complete_bash"
    try:
        main()
    except SystemExit:
        pass
    print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *_, after_help, _, after_version, completed, after_completion = done.stdout.splitlines()
    assert (after_help, after_version, completed) == ("[]", "[]", "tune")
    assert after_completion in ("[]", "['pydantic']"), "Typer brings it"


def test_every_command_has_help() -> None:
    for command in get_command(app).commands:
        assert "Usage: seqnorm " + command in run(*command.split(), "--help").stdout
