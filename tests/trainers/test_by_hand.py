"""``python -m trainers`` as a person runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from trainers.commands.files import find_file
from trainers.recipe import names

ROOT = Path(__file__).parents[2]


def by_hand(*arguments):
    return subprocess.run([sys.executable, "-m", "trainers", *arguments], capture_output=True, text=True, cwd=ROOT)


def test_a_trial_prints_its_result_to_stdout_and_its_epochs_to_stderr():
    flags = ["--gm", "8", "--gc", "4", "--seed", "1", "--set", "epochs=2", "--set", "width=32"]
    finished = by_hand("digits-mlp", *flags)
    assert finished.returncode == 0
    first, second = finished.stderr.splitlines()
    assert f"validation_accuracy {float(finished.stdout):.4f} " in second
    assert first.startswith("epoch 1 train_loss ")
    assert second.startswith("epoch 2 train_loss ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit-mlp"], f"no recipe is named 'digit-mlp'. Known: {', '.join(names())}. Did you mean digits-mlp?"),
        (
            ["digits-mlp", "--set", "epochs=0"],
            "epochs must be at least 1 (passes over the training split): got 0. The default is 10.",
        ),
        (["digits-mlp", "--set", "epochs"], "--set must be NAME=VALUE: got 'epochs'. Give e.g. --set epochs=10."),
        (["digits-mlp", "--data", "own.npz"], "digits-mlp takes no data set: got own.npz. Leave out --data."),
    ],
    ids=["recipe", "number", "pair", "data"],
)
def test_what_cannot_run_ends_with_exit_code_2_and_the_reason(arguments, message):
    finished = by_hand(*arguments)
    assert (finished.returncode, finished.stdout, finished.stderr) == (2, "", f"error: {message}\n")


def test_the_recipe_of_a_file_runs_by_hand_too(tmp_path):
    path = find_file(tmp_path, "mine")
    path.parent.mkdir(mode=0o755)
    path.write_text("""command = ["sh", "-c", "echo accuracy: 0.{gm}{gc}{seed}"]""")
    finished = by_hand("mine", "--home", str(tmp_path), "--gm", "4", "--gc", "2", "--seed", "7")
    assert (finished.returncode, finished.stdout) == (0, "accuracy: 0.427\n0.427\n")
    assert finished.stderr.startswith("epoch 1 accuracy 0.4270")
    refused = by_hand("mine", "--home", str(tmp_path), "--none")
    assert refused.stderr == "error: mine is a command, which has its own layers: got --none. Leave it out.\n"
