"""The state of one training run: everything a checkpoint needs so that a resumed run ends with the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from trainers.checkpoint import Checkpoint
from trainers.data.source import Source
from trainers.recipe import RecipeError
from trainers.trial import Measure, Result

CHECKPOINT_FORMAT = 2  #: version of the checkpoint's contents


@dataclass(kw_only=True)
class Run:
    """Network, optimizer, generators and position of a training run."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    source: Source
    checkpoint: Checkpoint
    checkpoint_seconds: float
    identity: dict[str, Any]  #: recipe, numbers and point
    measure: Measure = "validation"  #: the split that the result is measured on
    writes_checkpoint: bool = True  #: whether this process saves the checkpoint; all of them load it
    epoch: int = 0  #: the last finished epoch
    _saved_at: float = field(default_factory=time.monotonic)

    def restore(self) -> Result | None:
        """Load the checkpoint; return its result if the run had finished, measured on the same split.

        Raises:
            RecipeError: if the checkpoint is from another trial or version.
        """
        state = self.checkpoint.load()
        if state is None:
            return None
        check_belongs(state, self.identity)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.source.restore(state["source"])
        self.epoch = state["epoch"]
        return Result(**state["result"]) if state["result"] and state["measure"] == self.measure else None

    def end_epoch(self, epoch: int) -> None:
        """Record that an epoch has finished."""
        self.epoch = epoch

    def save_if_due(self) -> None:
        """Save if the last checkpoint is older than ``checkpoint_seconds``."""
        if time.monotonic() - self._saved_at >= self.checkpoint_seconds:
            self.save(None)

    def finish(self, result: Result) -> None:
        """Save the final state with its result, so that a lost message costs no training."""
        self.save(result)

    @contextmanager
    def save_on_exception(self) -> Iterator[None]:
        """Save if the block raises, e.g. because a report is answered with a request to stop."""
        try:
            yield
        except BaseException:
            self.save(None)
            raise

    def save(self, result: Result | None) -> None:
        """Save a checkpoint."""
        if self.writes_checkpoint:
            self.checkpoint.save(
                {
                    "format": CHECKPOINT_FORMAT,
                    "made_by": self.identity,
                    "epoch": self.epoch,
                    "network": self.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "source": self.source.state(),
                    "measure": self.measure,
                    "result": asdict(result) if result else None,
                }
            )
        self._saved_at = time.monotonic()


def check_format(state: dict[str, Any]) -> None:
    """Check that this version can read the checkpoint.

    Raises:
        RecipeError: naming both versions.
    """
    if state.get("format") != CHECKPOINT_FORMAT:
        raise RecipeError(
            f"a checkpoint must have format {CHECKPOINT_FORMAT}: got {state.get('format')}, of another version. "
            "Use that version, or remove the trial's folder to train from scratch."
        )


def check_belongs(state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Check that a checkpoint was written by the same trial and a compatible version.

    Raises:
        RecipeError: naming the first difference.
    """
    check_format(state)
    for name, ours in identity.items():
        if (theirs := state["made_by"].get(name)) != ours:
            if isinstance(ours, dict):
                changed = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
                theirs, ours = ({key: side.get(key) for key in changed} for side in (theirs, ours))
            raise RecipeError(
                f"a checkpoint must be of the same trial: got {name} {theirs} instead of {ours}. "
                "Give the trial a folder of its own."
            )
