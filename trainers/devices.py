"""Data-parallel training of one trial: one process per device; rank 0 is the trial's own process."""

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

JOIN_SECONDS = 10  # grace period for the other processes to exit


class TrainingProcess(NamedTuple):
    """One process of a trial: its device, its rank, and the number of devices."""

    device: torch.device
    rank: int = 0
    devices: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process reports, evaluates and saves the checkpoint."""
        return self.rank == 0


TrainFunction = Callable[[Params, Report, TrainingProcess], Result]


def train_on_devices(train: TrainFunction, params: Params, report: Report) -> Result:
    """Call ``train`` in one process per device; return the result of rank 0.

    Args:
        train: a module-level function, which other processes can import.
        params: of the trial.
        report: receives the metrics of rank 0.

    Raises:
        RecipeError: if there are fewer devices than requested, or they cannot share the batch evenly.
    """
    numbers = params.numbers
    kind, count = device_kind(numbers.device), numbers.real_devices
    check(kind, count, numbers.batch, numbers.accumulate)
    if count == 1:
        return train(params, report, TrainingProcess(device_for_rank(kind)))
    with tempfile.TemporaryDirectory() as folder:
        init_method = f"file://{Path(folder) / 'rendezvous'}"
        spawn = multiprocessing.get_context("spawn")
        children = [
            # not daemons, which may not start DataLoader workers
            spawn.Process(target=train_in_child, args=(train, params, kind, rank, init_method))
            for rank in range(1, count)
        ]
        for child in children:
            child.start()
        try:
            result = train(params, report, join_process_group(kind, 0, count, init_method))
            distributed.barrier()
            return result
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()
            for child in children:
                child.terminate()  # they hold no state
                child.join(JOIN_SECONDS)


def device_kind(requested: str) -> str:
    """Return ``cpu`` or ``cuda``."""
    return requested if requested != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def check(kind: str, count: int, batch: int, accumulate: int) -> None:
    """Check that this machine has the devices and that the batch divides over them.

    Raises:
        RecipeError: naming the numbers.
    """
    found = torch.cuda.device_count() if kind == "cuda" else count
    if found < count:
        raise RecipeError(
            f"a trial needs a GPU for each of its devices: got device={kind}, real_devices={count} and {found} "
            f"visible GPUs. Give the trial more (--gpus {count}), or set real_devices={max(1, found)} or device=cpu."
        )
    share_of_batch(batch, real_devices=count, accumulate=accumulate)


def device_for_rank(kind: str, rank: int = 0) -> torch.device:
    """Return the device of a rank, set to deterministic algorithms: same seed, same bits."""
    if kind == "cpu":
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    return device


def join_process_group(kind: str, rank: int, count: int, init_method: str) -> TrainingProcess:
    """Join the trial's process group."""
    process = TrainingProcess(device_for_rank(kind, rank), rank, count)
    backend = "nccl" if kind == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=init_method, rank=rank, world_size=count)
    return process


def train_in_child(train: TrainFunction, params: Params, kind: str, rank: int, init_method: str) -> None:
    """Run one of the other processes of a trial."""
    try:
        torch.set_num_threads(1)
        train(params, discard_report, join_process_group(kind, rank, params.numbers.real_devices, init_method))
        distributed.barrier()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # a normal exit may abort while gloo's threads are torn down


def discard_report(*, epoch: int, **metrics: float) -> None:
    """Ignore metrics, which rank 0 reports."""
