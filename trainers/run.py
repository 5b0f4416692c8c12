"""The state of one training run: all that a checkpoint must hold for the run to end with the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import torch
from torch import nn

from trainers.checkpoint import Checkpoint
from trainers.trial import Result


@dataclass(kw_only=True)
class Run:
    """Model, optimizer, generators and position of a training run."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    order: torch.Generator  #: of the order of the data
    checkpoint: Checkpoint
    checkpoint_seconds: float
    epoch: int = 0  #: the last one that has ended
    _saved_at: float = field(default_factory=time.monotonic)

    def restore(self) -> Result | None:
        """Go to where the checkpoint is; return the result if the run had ended there."""
        state = self.checkpoint.load()
        if state is None:
            return None
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.order.set_state(state["order"])
        torch.set_rng_state(state["random"])
        self.epoch = state["epoch"]
        return Result(**state["result"]) if state["result"] else None

    def end_epoch(self, epoch: int) -> None:
        """Count an epoch; save if the last checkpoint is old."""
        self.epoch = epoch
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
        self.checkpoint.save(
            {
                "epoch": self.epoch,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "order": self.order.get_state(),
                "random": torch.get_rng_state(),
                "result": asdict(result) if result else None,
            }
        )
        self._saved_at = time.monotonic()
