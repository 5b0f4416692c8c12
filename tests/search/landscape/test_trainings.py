"""``seqnorm landscape`` as a person runs it: what it writes, what it refuses, and what it leaves behind (nothing)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.cli import main
from search.landscape import figures
from search.landscape.trainings import LandscapeRequest
from tests.processes import command_of
from tests.search.program import interrupt, seqnorm, start
from trainers.recipe import find

DIGITS = ["landscape", "digits-mlp", "--set", "width=32", "--set", "device=cpu"]
UPDATES = 1295 // 128  # of an epoch
BANDS = {"lowest", "highest"}
GRADIENTS = {"predictiveness", "smoothness"}


class Drawn:
    """A folder that the command has filled, and what it printed."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.done = seqnorm(folder.parent / "home", *DIGITS, "--out", str(folder), *words)

    @property
    def data(self) -> dict[str, Any]:
        return json.loads((self.folder / "landscape.json").read_text())

    def files(self) -> set[str]:
        return {file.name for file in self.folder.iterdir() if file.suffix != ".png"}  # where kaleido is installed


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder = tmp_path_factory.mktemp("landscape") / "new" / "folder"
    return Drawn(folder, "--gm", "16,4", "--seed", "3", "--set", "epochs=2", "--json")


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Two epochs too fast for a network without normalization, without gradients and without ``--json``."""
    words = ["--gm", "4", "--set", "epochs=2", "--set", "learning_rate=1e6", "--no-gradients"]
    return Drawn(tmp_path_factory.mktemp("diverged") / "out", *words)


# What it writes


def test_the_data_say_what_was_trained(drawn: Drawn) -> None:
    data = drawn.data
    assert {name: data[name] for name in ("recipe", "overrides", "seed", "steps")} == {
        "recipe": "digits-mlp",
        "overrides": {"width": "32", "device": "cpu", "epochs": "2"},
        "seed": 3,
        "steps": [0.5, 1.0, 1.5, 2.0],
    }
    assert [(point["name"], point["gm"]) for point in data["points"]] == [
        ("no normalization", 0),
        ("BatchNorm", 1),
        ("GhostNorm, gm=4", 4),
        ("GhostNorm, gm=16", 16),
    ]


def test_the_data_hold_a_band_for_every_update_and_an_error_for_every_epoch(drawn: Drawn) -> None:
    for point in drawn.data["points"]:
        assert set(point) == {"name", "gm", "test_errors", "diverged", *BANDS, *GRADIENTS}
        assert {len(point[name]) for name in BANDS | GRADIENTS} == {2 * UPDATES}
        assert all(low < high for low, high in zip(point["lowest"], point["highest"], strict=True))
        assert len(point["test_errors"]) == 2
        assert all(0 < error < 0.9 for error in point["test_errors"])
        assert point["diverged"] is None
    assert len({tuple(point["lowest"]) for point in drawn.data["points"]}) == 4


def test_the_figures_in_the_data_are_those_of_the_trainings(drawn: Drawn, tmp_path: Path) -> None:
    from trainers.landscape import measure

    data = drawn.data
    again = measure("digits-mlp", data["overrides"], None, tmp_path, 4, 3, True, lambda **figures: None)
    (written,) = [point for point in data["points"] if point["gm"] == 4]
    assert {name: written[name] for name in again} == again


def test_the_files_and_errors_are_printed_as_json(drawn: Drawn) -> None:
    printed = json.loads(drawn.done.stdout)
    assert {Path(file).name for file in printed["files"] if not file.endswith(".png")} == drawn.files()
    assert all(Path(file).is_relative_to(drawn.folder) for file in printed["files"])
    last = {point["name"]: point["test_errors"][-1] for point in drawn.data["points"]}
    assert printed["test_errors"] == last


def test_data_and_three_figures_are_written_and_nothing_else(drawn: Drawn) -> None:
    assert drawn.files() == {"landscape.json", "comparison.html", "panels.html", "gradients.html"}
    assert not (drawn.folder.parents[1] / "home").exists()


@pytest.mark.parametrize("name", ["comparison", "panels", "gradients"])
def test_a_figure_needs_nothing_from_elsewhere(drawn: Drawn, name: str) -> None:
    page = (drawn.folder / f"{name}.html").read_text()
    assert "Plotly.newPlot(" in page
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page)
    assert tags
    assert not [tag for tag in tags if re.search(r"\b(?:src|href)\s*=", tag)]


def test_the_comparison_shows_the_best_ghost_norm_alone_between_the_baselines(drawn: Drawn) -> None:
    errors = {point["gm"]: point["test_errors"][-1] for point in drawn.data["points"]}
    best, other = sorted((4, 16), key=lambda gm: errors[gm])
    names = set(re.findall(r'"name":"([^"]*?)"', (drawn.folder / "comparison.html").read_text()))
    assert {"no normalization", "BatchNorm", f"GhostNorm, gm={best}"} <= names
    assert f"GhostNorm, gm={other}" not in names


def test_without_gradients_there_is_no_figure_of_them_and_files_are_listed_a_line_each(diverged: Drawn) -> None:
    assert diverged.files() == {"landscape.json", "comparison.html", "panels.html"}
    assert not GRADIENTS & set(diverged.data["points"][0])
    listed = {Path(line).name for line in diverged.done.stdout.split()}
    assert {name for name in listed if not name.endswith(".png")} == diverged.files()


def test_what_diverged_is_said_and_kept_up_to_there(diverged: Drawn) -> None:
    without = diverged.data["points"][0]
    assert without["diverged"].startswith("the training loss is ")
    assert len(without["lowest"]) == UPDATES
    assert math.isfinite(without["lowest"][0])
    assert f"no normalization diverged: {without['diverged']}" in diverged.done.stderr


def test_the_data_are_json_even_where_losses_are_not_finite(diverged: Drawn) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads((diverged.folder / "landscape.json").read_text(), parse_constant=refuse)


# The figures


def measured(*gms: int, errors: tuple[float, ...] = (0.5, 0.25)) -> figures.Measured:
    return {gm: {"lowest": [1.0, 0.5], "highest": [2.0, 1.0 + gm], "test_errors": list(errors)} for gm in gms}


def test_the_panels_are_one_for_each_point_and_one_for_the_errors_of_all() -> None:
    figure = figures.panels(measured(0, 1, 4, 16))
    assert [note.text for note in figure.layout.annotations] == [
        "no normalization",
        "BatchNorm",
        "GhostNorm, gm=4",
        "GhostNorm, gm=16",
        "test error",
    ]
    edges = [(trace.yaxis, tuple(trace.y), trace.fill) for trace in figure.data[:8]]
    for place, gm in enumerate((0, 1, 4, 16)):
        axis = f"y{place + 1}" if place else "y"
        assert edges[2 * place : 2 * place + 2] == [
            (axis, (1.0, 0.5), None),
            (axis, (2.0, 1.0 + gm), "tonexty"),
        ]
    assert [(trace.yaxis, tuple(trace.x), tuple(trace.y)) for trace in figure.data[8:]] == [
        ("y5", (1, 2), (0.5, 0.25))
    ] * 4


def test_bands_share_a_logarithmic_axis_which_the_errors_do_not() -> None:
    layout = figures.panels(measured(0, 1, 4)).layout
    assert [layout[f"yaxis{place}"].matches for place in (2, 3)] == ["y", "y"]
    assert [axis.type for axis in (layout.yaxis, layout.yaxis2, layout.yaxis3)] == ["log"] * 3
    assert (layout.yaxis4.type, layout.yaxis4.matches) == (None, None)


def test_a_point_has_one_colour_in_every_panel_and_no_other_has_it() -> None:
    figure = figures.panels(measured(0, 1, 4))
    colours = {}
    for trace in figure.data:
        colours.setdefault(trace.name.removesuffix(", lowest"), set()).add(trace.line.color)
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 3


def test_a_point_that_ended_before_its_first_epoch_is_drawn_without_errors() -> None:
    figure = figures.panels({**measured(0, errors=()), **measured(1)})
    assert [len(trace.y) for trace in figure.data[4:]] == [0, 2]


# What is trained


def landscape_request(recipe: str, **overrides: str) -> LandscapeRequest:
    return LandscapeRequest(
        recipe=find(recipe), gm=(16, 4, 16), overrides=overrides, seed=0, data=None, home=Path(), gradients=True
    )


def test_batchnorm_and_no_normalization_come_along_and_repeats_are_trained_once() -> None:
    assert landscape_request("digits-mlp").points == [0, 1, 4, 16]


def test_without_normalization_a_recipes_numbers_for_that_are_taken() -> None:
    arguments = {gm: landscape_request("cifar10-resnet56", epochs="2").arguments(gm)[1] for gm in (0, 1, 4)}
    assert arguments == {0: {"peak_factor": 10.0, "epochs": "2"}, 1: {"epochs": "2"}, 4: {"epochs": "2"}}


def test_a_number_that_was_asked_for_wins_over_those_without_normalization() -> None:
    assert landscape_request("cifar10-resnet56", peak_factor="3").arguments(0)[1] == {"peak_factor": "3"}


# What it refuses


def refused(tmp_path: Path, words: list[str]) -> str:
    """Run a command that is refused; return the line that it says, having seen that nothing was written."""
    out, home = tmp_path / "out", tmp_path / "home"
    done = seqnorm(home, *words, *([] if "--out" in words else ["--out", str(out)]), expect=2)
    check_refusal(done.stdout, done.stderr, out, home)
    return done.stderr.strip()


def check_refusal(printed: str, said: str, out: Path, home: Path) -> None:
    """See that a refusal is one line of rule, received value and remedy, and left nothing."""
    assert printed == ""
    assert re.fullmatch(r"error: [^\n]+(?:: got|is named) [^\n]+\. [A-Z][^\n]+\.\n", said), said
    assert not out.exists()
    assert not home.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["landscape", "nosuch"], "no recipe is named 'nosuch'."),
        (
            [*DIGITS, "--gm", "4,3"],
            "gm must divide the batch: got gm=3 for 128 samples. Use a divisor, e.g. 1, 2, 4.",
        ),
        (
            [*DIGITS, "--gm", "64"],
            "groups must hold at least min_group=4 samples: got gm=64, groups of 2 of 128 samples.",
        ),
        (
            [*DIGITS, "--gm", "four"],
            "--gm must be whole numbers separated by commas: got 'four'. Give e.g. --gm 1,2,4.",
        ),
        ([*DIGITS, "--set", "epoch=3"], "digits-mlp has no number epoch: got epoch=3."),
        ([*DIGITS, "--set", "epochs"], "--set must be NAME=VALUE: got 'epochs'. Give e.g. --set epochs=10."),
        (
            [*DIGITS, "--gm", "4", "--set", "epochs=0"],
            "epochs must be at least 1 (passes over the training split): got 0.",
        ),
        (
            [*DIGITS, "--gm", "4", "--set", "batch=5000"],
            "the training split must fill a batch: got 1295 of the digits of scikit-learn for batch=5000.",
        ),
        (["landscape", "mnist-simplenet", "--data", "/nowhere.npz"], "--data must name an existing .npz file: got"),
        (["landscape", "cifar10-resnet56", "--gm", "16"], "CIFAR-10 must be at "),
        (
            ["landscape", "planted", "--gm", "4"],
            "a landscape needs a recipe with the loop of this package: got planted",
        ),
    ],
    ids=["recipe", "gm", "group", "list", "number", "pair", "bound", "batch", "npz", "absent data", "no network"],
)
def test_bad_input_gets_one_sentence_before_anything_is_trained_or_written(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, home = tmp_path / "out", tmp_path / "home"
    monkeypatch.setattr(sys, "argv", ["seqnorm", "--home", str(home), *words, "--out", str(out)])
    with pytest.raises(SystemExit) as left:
        main()
    printed = capsys.readouterr()
    assert left.value.code == 2
    assert printed.err.startswith(f"error: {said}")
    check_refusal(printed.out, printed.err, out, home)


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "accumulate=2"],  # BatchNorm comes along, whose one group cannot be shared out over two passes
        ["--set", "device=cuda"],
        ["--data", "own.npz"],
        ["--out", "/proc/nowhere"],
    ],
    ids=["passes of the baseline", "no GPU", "no choice of data", "folder"],
)
def test_what_could_only_fail_later_is_refused_at_once(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert words[-1].rpartition("=")[-1] in refused(
        tmp_path, ["landscape", "digits-mlp", "--gm", "4", "--set", "epochs=1", *words]
    )


# Ctrl-C


@pytest.mark.parametrize("seconds", [0.0, 5.0], ids=["while processes start", "while they train"])
def test_ctrl_c_ends_every_process_and_leaves_nothing_behind(tmp_path: Path, seconds: float) -> None:
    out = tmp_path / "out"
    words = [*DIGITS, "--gm", "4,8", "--set", "epochs=5000", "--processes", "2", "--out", str(out)]
    process = start(tmp_path / "home", *words)
    try:
        trainings = wait_for_trainings(process, 2)
        time.sleep(seconds)
        _, said = interrupt(process)
        assert process.returncode == 128 + signal.SIGINT
        assert said.strip() == "Interrupted; nothing was written."
        gone, left = psutil.wait_procs(trainings, timeout=5)
        assert (len(gone) >= 2, left) == (True, [])
        assert list(out.glob("*")) == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the group of this test's own session
        process.communicate()


def wait_for_trainings(process: subprocess.Popen[str], count: int, seconds: float = 60) -> list[psutil.Process]:
    """Wait until so many processes train; return them with whatever else was started."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        children = psutil.Process(process.pid).children(recursive=True)
        if sum("spawn_main" in command_of(child) for child in children) >= count:
            return children
        time.sleep(0.01)
    raise AssertionError("no training started")
