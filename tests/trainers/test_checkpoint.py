"""Checkpoints: whole or not at all, and a run that goes on from one ends with the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.checkpoint import Checkpoint
from trainers.data.digits import load
from trainers.recipe import RecipeError, find, resolve
from trainers.run import CHECKPOINT_FORMAT
from trainers.trial import Params, Result

CHANCE = {  # all that a trial can draw, and all that it carries from step to step
    "epochs": 4,
    "depth": 8,
    "width": 4,
    "batch": 64,
    "subset": 256,
    "learning_rate": 0.02,
    "pad": 1,
    "cutout": 2,
    "randaugment_n": 1,
    "randaugment_m": 6,
    "mixup": 0.2,
    "dropout": 0.1,
    "noise": 0.05,
    "momentum": 0.9,
    "precision": "fp16",
}
TRIALS = {"digits-mlp": {"epochs": 5, "width": 32}, "cifar10-resnet56": CHANCE}


class Cut(Exception):
    """What a killed trial looks like from inside."""


def params(folder: Path | None, recipe: str = "digits-mlp", **changes: Any) -> Params:
    own = {key: changes.pop(key) for key in tuple(changes) if key not in Params.__dataclass_fields__}
    numbers = find(recipe).with_overrides({"device": "cpu", **TRIALS[recipe], **own})
    data = load(numbers, None, Path())
    given = {"gm": 4, "gc": 2, "seed": 3, "numbers": numbers, "data": data, "recipe": recipe, "folder": folder}
    return Params(**{**given, **changes})


def trained(of: Params, cut_after: int | None = None) -> tuple[Result | None, list[dict[str, float]]]:
    reported = []

    def report(*, epoch: int, **metrics: float) -> None:
        metrics.pop("seconds")
        reported.append({"epoch": epoch, **metrics})
        if epoch == cut_after:
            raise Cut

    try:
        return resolve(find(of.recipe).run)(of, report), reported
    except Cut:
        return None, reported


def bits(state: Any) -> Any:
    """Turn a state into what can be compared as a whole."""
    if isinstance(state, torch.Tensor):
        return (state.dtype, state.tolist())
    if isinstance(state, dict):
        return {key: bits(value) for key, value in state.items()}
    return [bits(value) for value in state] if isinstance(state, list | tuple) else state


def kept(folder: Path) -> Any:
    return bits(Checkpoint(folder).load())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Any, Any]]:
    """Result, epochs and last state of a trial that is left alone."""
    done = {}

    def of(recipe: str) -> tuple[Any, Any, Any]:
        if recipe not in done:
            folder = tmp_path_factory.mktemp(recipe)
            done[recipe] = (*trained(params(folder, recipe)), kept(folder))
        return done[recipe]

    return of


@pytest.mark.parametrize(
    ("recipe", "cut_after"),
    [("digits-mlp", epoch) for epoch in (1, 2, 4, 5)] + [("cifar10-resnet56", epoch) for epoch in (1, 2, 3, 4)],
)
def test_a_trial_cut_after_any_epoch_ends_with_the_bits_of_one_left_alone(
    alone: Any, recipe: str, cut_after: int, tmp_path: Path
) -> None:
    result_alone, epochs_alone, state_alone = alone(recipe)
    of = params(tmp_path, recipe)
    _, before = trained(of, cut_after)
    torch.rand(7)  # another process has drawn other numbers
    result, after = trained(of)
    assert result == result_alone
    assert before + after == epochs_alone
    assert [row["epoch"] for row in after] == list(range(cut_after + 1, len(epochs_alone) + 1))
    assert kept(tmp_path) == state_alone


class CutAtStep:
    """Cuts a trial in the middle of an epoch."""

    def __init__(self, last: int) -> None:
        self.left = last

    def wrap(self, step: Any) -> Any:
        def take(*batch: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Cut
            return step(*batch)

        return take

    def end_epoch(self, test_error: float) -> None:
        """Need no figures."""


@pytest.mark.parametrize("recipe", ["digits-mlp", "cifar10-resnet56"])
def test_a_trial_cut_within_an_epoch_repeats_it_with_the_same_bits(alone: Any, recipe: str, tmp_path: Path) -> None:
    result_alone, epochs_alone, state_alone = alone(recipe)
    steps = 10 if recipe == "digits-mlp" else 4
    of = params(tmp_path, recipe, checkpoint_seconds=0.0)
    _, before = trained(replace(of, observer=CutAtStep(2 * steps + 2)))
    assert [row["epoch"] for row in before] == [1, 2]
    result, after = trained(of)
    assert (result, before + after) == (result_alone, epochs_alone)
    assert kept(tmp_path) == state_alone


def test_a_trial_of_all_chance_draws_and_carries_what_it_says(alone: Any) -> None:
    _, _, state = alone("cifar10-resnet56")
    fresh = torch.amp.GradScaler("cpu").state_dict()
    assert state["scaler"] != fresh  # a step either counts towards a larger scale or halves it
    assert state["source"]["order"] != state["source"]["chance"]
    assert all(of["momentum_buffer"] for of in state["optimizer"]["state"].values())


@pytest.mark.parametrize("name", [name for name in CHANCE if name not in ("epochs", "depth", "width", "randaugment_m")])
def test_a_trial_of_all_chance_depends_on_each_of_its_numbers(name: str, alone: Any) -> None:
    other = {"batch": 128, "subset": 128, "learning_rate": 0.03, "randaugment_n": 0, "precision": "fp32"}.get(name, 0)
    _, [first, *_], _ = alone("cifar10-resnet56")
    _, [changed] = trained(params(None, "cifar10-resnet56", **{name: other}), cut_after=1)
    assert changed["train_loss"] != first["train_loss"]


def test_a_trial_that_had_ended_is_answered_without_training(tmp_path: Path) -> None:
    result, epochs = trained(params(tmp_path))
    assert Checkpoint(tmp_path).load()["result"] == asdict(result)
    again, none = trained(params(tmp_path))
    assert len(epochs) == 5
    assert (again, none) == (result, [])


def test_a_trial_that_had_ended_is_measured_on_another_split_without_training(tmp_path: Path) -> None:
    fresh, _ = trained(params(None, measure="test"))
    validated, _ = trained(params(tmp_path))
    assert trained(params(tmp_path, measure="test")) == (fresh, [])
    assert trained(params(tmp_path)) == (validated, [])
    assert (fresh.samples, validated.samples) == (250, 252)


def refused(of: Params) -> str:
    with pytest.raises(RecipeError) as caught:
        trained(of)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"recipe": "images-mlp"}, "recipe digits-mlp instead of images-mlp"),
        ({"gm": 8}, "gm 4 instead of 8"),
        ({"gc": 0}, "gc 2 instead of 0"),
        ({"seed": 4}, "seed 3 instead of 4"),
        ({"normalize": False}, "normalize True instead of False"),
        ({"width": 16}, "numbers {'width': 32} instead of {'width': 16}"),
        ({"epochs": 6}, "numbers {'epochs': 5} instead of {'epochs': 6}"),
        (
            {"momentum": 0.9, "dropout": 0.1},
            "numbers {'dropout': 0.0, 'momentum': 0.0} instead of {'dropout': 0.1, 'momentum': 0.9}",
        ),
    ],
    ids=lambda of: ",".join(of) if isinstance(of, dict) else "",
)
@pytest.mark.parametrize("cut_after", [2, None], ids=["cut", "ended"])
def test_a_checkpoint_of_another_trial_is_refused(
    cut_after: int | None, changes: dict[str, Any], difference: str, tmp_path: Path
) -> None:
    trained(params(tmp_path), cut_after)
    before = kept(tmp_path)
    name = changes.get("recipe", "digits-mlp")
    with_changes = params(tmp_path, **{key: value for key, value in changes.items() if key != "recipe"})
    with pytest.raises(RecipeError) as caught:
        resolve(find("digits-mlp").run)(replace(with_changes, recipe=name), lambda **figures: None)
    assert str(caught.value) == (
        f"a checkpoint must be of the same trial: got {difference}. Give the trial a folder of its own."
    )
    assert kept(tmp_path) == before


def test_a_checkpoint_of_other_images_is_refused(tmp_path: Path) -> None:
    of = params(tmp_path)
    trained(of, 2)
    brighter = replace(of.data, train_x=of.data.train_x + 1)
    message = refused(replace(of, data=brighter))
    assert message.startswith("a checkpoint must be of the same trial: got standard [[4.")
    taller = replace(of.data, train_x=of.data.train_x.repeat(2, axis=1))
    assert "got shape [1, 8, 8] instead of [1, 16, 8]" in refused(replace(of, data=taller))


@pytest.mark.parametrize("version", [1, CHECKPOINT_FORMAT + 1, None])
def test_a_checkpoint_of_another_version_is_refused(version: int | None, tmp_path: Path) -> None:
    of = params(tmp_path)
    trained(of, 2)
    state = Checkpoint(tmp_path).load()
    assert state["format"] == CHECKPOINT_FORMAT
    state = {key: value for key, value in {**state, "format": version}.items() if value is not None}
    Checkpoint(tmp_path).save(state)
    assert refused(of) == (
        f"a checkpoint must have format {CHECKPOINT_FORMAT}: got {version}, of another version. "
        "Use that version, or remove the trial's folder to train from scratch."
    )


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(alone: Any, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    trained(params(tmp_path), cut_after=2)
    trained(params(tmp_path), cut_after=4)
    newest = tmp_path / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    assert checkpoint.load()["epoch"] == 2
    result, after = trained(params(tmp_path))
    assert result == alone("digits-mlp")[0]
    assert after[0]["epoch"] == 3


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02."])
def test_without_a_good_checkpoint_a_trial_starts_anew(alone: Any, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    result, epochs = trained(params(tmp_path))
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4, 5]
    assert result == alone("digits-mlp")[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can read it as it is")
def test_a_checkpoint_that_was_written_on_a_gpu_is_read_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")  # as a GPU's tensors have it
    Checkpoint(tmp_path).save({"weight": torch.arange(3)})
    assert b"cuda:0" in (tmp_path / "checkpoint.pt").read_bytes()
    state = Checkpoint(tmp_path).load()
    assert state is not None
    assert state["weight"].tolist() == [0, 1, 2]


def test_a_checkpoint_is_never_unpickled(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return (trap.touch, ())

    torch.save({"network": Trap()}, tmp_path / "checkpoint.pt")
    assert Checkpoint(tmp_path).load() is None
    assert not trap.exists()


def test_a_half_written_file_leaves_the_checkpoint_as_it_was(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    checkpoint.save({"epoch": 1})
    with pytest.raises(AttributeError):
        checkpoint.save({"epoch": 2, "network": _Unsavable()})
    assert checkpoint.load() == {"epoch": 1}


class _Unsavable:
    def __reduce__(self):
        raise AttributeError


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trained(params(None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, [1, 2, 3, 4, 5]), (1000.0, [None] * 5)])
def test_checkpoints_are_kept_as_often_as_asked(seconds: float, expected: list[int | None], tmp_path: Path) -> None:
    seen = []

    def look(*, epoch: int, **metrics: float) -> None:
        state = Checkpoint(tmp_path).load()
        seen.append(state["epoch"] if state else None)

    of = params(tmp_path, checkpoint_seconds=seconds)
    resolve(find(of.recipe).run)(of, look)
    assert seen == expected
