"""The example of a recipe of one's own, installed and used as its reader would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.search.program import SEQNORM
from trainers.data.mnist import read_bundled

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_recipe"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the example is installed, and only there."""
    folder = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLE, folder / "source")  # building leaves files beside the source
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    words = [sys.executable, "-m", "pip", "install", *offline, "--target", str(folder / "installed"), str(source)]
    installed = subprocess.run(words, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    path = os.pathsep.join(filter(None, [str(folder / "installed"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with 1,000 images of MNIST."""
    x, y = read_bundled()
    file = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(file, x=x[::5], y=y[::5])
    return file


def said(environment: dict[str, str], *words: str, expect: int = 0) -> tuple[str, str]:
    """Run a program in the environment; return what it printed to stdout and stderr."""
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout, done.stderr


def by_hand(environment: dict[str, str], *words: str, expect: int = 0) -> tuple[str, str]:
    return said(environment, sys.executable, "-m", "trainers", "own-recipe", *words, expect=expect)


def python(environment: dict[str, str], script: str) -> str:
    return said(environment, sys.executable, "-c", script)[0].strip()


def test_the_installed_example_is_listed_with_its_numbers(environment: dict[str, str]) -> None:
    listed = {recipe["name"]: recipe for recipe in json.loads(said(environment, SEQNORM, "recipes", "--json")[0])}
    numbers = {number["name"]: number for number in listed["own-recipe"]["numbers"]}
    assert numbers["width"] == {
        "name": "width",
        "default": 16,
        "unit": "channels of both convolutions",
        "choices": [],
        "at_least": 1,
        "at_most": None,
    }
    assert (numbers["batch"]["default"], numbers["momentum"]["default"]) == (32, 0.9)
    assert {"learning_rate", "noise", "randaugment_n", "epochs"} <= set(numbers)
    assert "mnist-simplenet" in listed


def test_the_example_is_not_there_where_it_is_not_installed() -> None:
    listed = json.loads(said(dict(os.environ), SEQNORM, "recipes", "--json")[0])
    assert "own-recipe" not in [recipe["name"] for recipe in listed]


def test_the_example_trains_by_hand_on_ones_own_images(environment: dict[str, str], images: Path) -> None:
    printed, epochs = by_hand(environment, "--set", "epochs=1", "--data", str(images), "--gm", "8", "--gc", "4")
    assert 0 <= float(printed) <= 1
    data, epoch = epochs.splitlines()
    assert data.startswith("Data: 1000 images of 10 classes: ")
    assert epoch.startswith("epoch 1 train_loss ")


def test_the_example_learns(environment: dict[str, str], images: Path) -> None:
    _, epochs = by_hand(environment, "--set", "epochs=6", "--data", str(images), "--gm", "2", "--gc", "2")
    first, *_, last = (float(line.split()[3]) for line in epochs.splitlines() if line.startswith("epoch "))
    assert last < first
    assert "diverged" not in epochs  # which is said of an accuracy at chance


def test_the_example_is_refused_without_images_and_says_what_to_give(environment: dict[str, str]) -> None:
    printed, complaint = by_hand(environment, expect=2)
    assert printed == ""
    assert complaint.startswith("error: this recipe trains on your own images: got no --data. Give a folder with")


def test_the_examples_descriptor_needs_no_torch(environment: dict[str, str]) -> None:
    script = "import sys; from trainers.recipe import find; find('own-recipe'); print('torch' in sys.modules)"
    assert python(environment, script) == "False"


def test_the_examples_widths_are_those_of_its_network(environment: dict[str, str]) -> None:
    script = """
from torch import nn
from trainers.recipe import find, resolve
recipe, asked = find("own-recipe"), []
numbers = recipe.with_overrides({"width": 24})
resolve(recipe.build)(numbers, (3, 32, 32), 10, lambda width: asked.append(width) or nn.Identity())
print(tuple(asked) == recipe.widths(numbers) == (24, 24))
"""
    assert python(environment, script) == "True"


def test_what_the_examples_widths_do_not_allow_is_refused_before_anything_runs(
    environment: dict[str, str], images: Path, tmp_path: Path
) -> None:
    words = ["tune", "own-recipe", "--gm", "1,2", "--gc", "1,3", "--data", str(images)]
    _, complaint = said(environment, SEQNORM, "--home", str(tmp_path / "home"), *words, expect=2)
    assert complaint == "error: gc must divide every normalized width: got gc=3 for widths 16. Use 1, 2, 4, 8, 16.\n"
    assert not (tmp_path / "home").exists()
