"""The devices of one trial: one process for each, the first of them the trial's own."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import distributed, multiprocessing

from trainers.groups import share_of_batch
from trainers.recipe import RecipeError
from trainers.trial import Params, Report, Result

JOIN_SECONDS = 10  # that the other processes get to leave by themselves


class Place(NamedTuple):
    """Where a process trains, and which of a trial's processes it is."""

    device: torch.device
    rank: int = 0
    devices: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process reports, evaluates and keeps the checkpoint."""
        return self.rank == 0


TrainHere = Callable[[Params, Report, Place], Result]


def train_on_devices(train: TrainHere, params: Params, report: Report) -> Result:
    """Call ``train`` in as many processes as the trial has devices; return the result of the first.

    Args:
        train: a function of a module, as other processes must find it.
        params: of the trial.
        report: takes the figures of the first process.

    Raises:
        RecipeError: for fewer devices than asked for, or a batch that they cannot share.
    """
    numbers = params.numbers
    kind, count = kind_of(numbers.device), numbers.real_devices
    check(kind, count, numbers.batch, numbers.accumulate)
    if count == 1:
        return train(params, report, Place(first_device(kind)))
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        spawn = multiprocessing.get_context("spawn")
        others = [
            # no daemons, which may not have processes that read images
            spawn.Process(target=train_beside, args=(train, params, kind, rank, meeting))
            for rank in range(1, count)
        ]
        for other in others:
            other.start()
        try:
            result = train(params, report, join(kind, 0, count, meeting))
            distributed.barrier()
            return result
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()
            for other in others:
                other.terminate()  # they have nothing to keep
                other.join(JOIN_SECONDS)


def kind_of(asked: str) -> str:
    """Return ``cpu`` or ``cuda``."""
    return asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def check(kind: str, count: int, batch: int, accumulate: int) -> None:
    """Refuse what the devices of this machine, or the batch, do not allow.

    Raises:
        RecipeError: with the numbers in it.
    """
    found = torch.cuda.device_count() if kind == "cuda" else count
    if found < count:
        raise RecipeError(
            f"a trial needs a GPU for each of its devices: got device={kind}, real_devices={count} and {found} "
            f"visible GPUs. Give the trial more (--gpus {count}), or set real_devices={max(1, found)} or device=cpu."
        )
    share_of_batch(batch, real_devices=count, accumulate=accumulate)


def first_device(kind: str, rank: int = 0) -> torch.device:
    """Return the device of a rank, made repeatable: same seed, same bits."""
    if kind == "cpu":
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    return device


def join(kind: str, rank: int, count: int, meeting: str) -> Place:
    """Meet the other processes of the trial."""
    place = Place(first_device(kind, rank), rank, count)
    backend = "nccl" if kind == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=count)
    return place


def train_beside(train: TrainHere, params: Params, kind: str, rank: int, meeting: str) -> None:
    """Be one of the other processes of a trial."""
    try:
        torch.set_num_threads(1)
        train(params, say_nothing, join(kind, rank, params.numbers.real_devices, meeting))
        distributed.barrier()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # gloo's threads may abort a process that tears them down while it exits


def say_nothing(*, epoch: int, **metrics: float) -> None:
    """Take figures that the first process reports."""
