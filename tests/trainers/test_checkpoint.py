"""Checkpoints: whole or not at all, and a run that goes on from one ends with the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainers.checkpoint import Checkpoint
from trainers.data.digits import load
from trainers.recipe import find, resolve
from trainers.trial import Params, Result

RECIPE = find("digits-mlp")
NUMBERS = RECIPE.with_overrides({"epochs": 5, "width": 32})
RUN = resolve(RECIPE.run)


class Cut(Exception):
    """What a killed trial looks like from inside."""


def params(folder: Path | None) -> Params:
    return Params(gm=4, gc=2, seed=3, numbers=NUMBERS, data=load(NUMBERS, None, Path()), folder=folder)


def trained(folder: Path | None, cut_after: int | None = None) -> tuple[Result | None, list[dict]]:
    reported = []

    def report(*, epoch: int, **metrics: float) -> None:
        metrics.pop("seconds")
        reported.append({"epoch": epoch, **metrics})
        if epoch == cut_after:
            raise Cut

    try:
        return RUN(params(folder), report), reported
    except Cut:
        return None, reported


@pytest.mark.parametrize("cut_after", [1, 2, 4, 5])
def test_a_trial_cut_after_any_epoch_ends_with_the_bits_of_one_left_alone(cut_after: int, tmp_path: Path) -> None:
    alone, epochs_alone = trained(None)
    _, before = trained(tmp_path, cut_after)
    result, after = trained(tmp_path)
    assert result == alone
    assert before + after == epochs_alone
    assert [row["epoch"] for row in after] == list(range(cut_after + 1, 6))


def test_a_trial_that_had_ended_is_answered_without_training(tmp_path: Path) -> None:
    result, epochs = trained(tmp_path)
    again, none = trained(tmp_path)
    assert len(epochs) == 5
    assert (again, none) == (result, [])


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    alone, _ = trained(None)
    checkpoint = Checkpoint(tmp_path)
    trained(tmp_path, cut_after=2)
    trained(tmp_path, cut_after=4)
    newest = tmp_path / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    assert checkpoint.load()["epoch"] == 2
    result, after = trained(tmp_path)
    assert result == alone
    assert after[0]["epoch"] == 3


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02."])
def test_without_a_good_checkpoint_a_trial_starts_anew(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    result, epochs = trained(tmp_path)
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4, 5]
    assert result == trained(None)[0]


def test_a_checkpoint_is_never_unpickled(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return (trap.touch, ())

    torch.save({"model": Trap()}, tmp_path / "checkpoint.pt")
    assert Checkpoint(tmp_path).load() is None
    assert not trap.exists()


def test_a_half_written_file_leaves_the_checkpoint_as_it_was(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    checkpoint.save({"epoch": 1})
    with pytest.raises(AttributeError):
        checkpoint.save({"epoch": 2, "model": _Unsavable()})
    assert checkpoint.load() == {"epoch": 1}


class _Unsavable:
    def __reduce__(self):
        raise AttributeError


@pytest.mark.parametrize(("seconds", "kept"), [(0.0, [1, 2, 3, 4, 5]), (1000.0, [None] * 5)])
def test_checkpoints_are_kept_as_often_as_asked(seconds: float, kept: list, tmp_path: Path) -> None:
    seen = []

    def look(*, epoch: int, **metrics: float) -> None:
        state = Checkpoint(tmp_path).load()
        seen.append(state["epoch"] if state else None)

    RUN(replace(params(tmp_path), checkpoint_seconds=seconds), look)
    assert seen == kept
