"""The state of one training run: all that a checkpoint must hold for the run to end with the same bits."""

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

FORMAT = 2  #: of what is kept


@dataclass(kw_only=True)
class Run:
    """Network, optimizer, generators and position of a training run."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    source: Source
    checkpoint: Checkpoint
    checkpoint_seconds: float
    made_by: dict[str, Any]  #: recipe, numbers and point
    measure: Measure = "validation"  #: the split that a result is of
    keeps: bool = True  #: whether this process writes the checkpoint; all of them read it
    epoch: int = 0  #: the last one that has ended
    _saved_at: float = field(default_factory=time.monotonic)

    def restore(self) -> Result | None:
        """Go to where the checkpoint is; return the result if the run had ended there, measured on the same split.

        Raises:
            RecipeError: if the checkpoint is of another trial or another version.
        """
        state = self.checkpoint.load()
        if state is None:
            return None
        check_belongs(state, self.made_by)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.source.restore(state["source"])
        self.epoch = state["epoch"]
        return Result(**state["result"]) if state["result"] and state["measure"] == self.measure else None

    def end_epoch(self, epoch: int) -> None:
        """Count an epoch."""
        self.epoch = epoch

    def keep(self) -> None:
        """Save if the last checkpoint is old."""
        if time.monotonic() - self._saved_at >= self.checkpoint_seconds:
            self.save(None)

    def end(self, result: Result) -> None:
        """Save the end of the run, its result inside: should the message be lost, nothing is trained again."""
        self.save(result)

    @contextmanager
    def saved_if_stopped(self) -> Iterator[None]:
        """Save if what happens inside ends the run, e.g. a report that is answered with a request to stop."""
        try:
            yield
        except BaseException:
            self.save(None)
            raise

    def save(self, result: Result | None) -> None:
        """Write the checkpoint."""
        if self.keeps:
            self.checkpoint.save(
                {
                    "format": FORMAT,
                    "made_by": self.made_by,
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
    """Refuse what another version of this software has written.

    Raises:
        RecipeError: with both versions.
    """
    if state.get("format") != FORMAT:
        raise RecipeError(
            f"a checkpoint must have format {FORMAT}: got {state.get('format')}, of another version. "
            "Go on with that version, or remove the trial's folder to train anew."
        )


def check_belongs(state: dict[str, Any], made_by: dict[str, Any]) -> None:
    """Refuse a checkpoint that another trial, or another version of this software, has written.

    Raises:
        RecipeError: naming the first difference.
    """
    check_format(state)
    for name, ours in made_by.items():
        if (theirs := state["made_by"].get(name)) != ours:
            if isinstance(ours, dict):
                changed = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
                theirs, ours = ({key: of.get(key) for key in changed} for of in (theirs, ours))
            raise RecipeError(
                f"a checkpoint must be of the same trial: got {name} {theirs} instead of {ours}. "
                "Give the trial a folder of its own."
            )
