"""A recipe with a known response surface that trains nothing: best at gm 8, gc 4. Installed like anybody's own recipe.

Its numbers make trials slow, raise, diverge or die, and name a journal: a file to which each trial appends when it
begins and when it ends, outside the database, so that tests can tell what really ran.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.recipe import Numbers, Recipe, number
from trainers.trial import Params, Report, Result


@dataclass(frozen=True, kw_only=True)
class PlantedNumbers(Numbers):
    batch: int = number(64, "samples per step", 1)
    epochs: int = number(1, "reports", 1)
    seconds: float = number(0.0, "duration of a trial", 0)
    noise: float = number(0.002, "std over seeds", 0)
    journal: str = number("", "file that each trial appends to")
    raise_at: int = number(-1, "gm whose trials raise")
    raise_unless: str = number("", "file without which every trial raises")
    diverge_at: int = number(-1, "gm whose trials end in nan")
    chance_at: int = number(-1, "gm whose trials end at chance")
    hang_at: int = number(-1, "gm whose trials never end")
    hold_at: int = number(-1, "gm whose trials wait when they have reported")
    hold_until: str = number("", "file for which they wait")
    hoard_at: int = number(-1, "gm whose trials take memory without end")
    die_at: int = number(-1, "gm whose trials kill their process")
    misbehave_at: int = number(-1, "gm whose trials misbehave, with each seed in another way")
    flood: int = number(0, "reports before the others, as fast as possible")
    fork_at: int = number(-1, "gm whose trials leave a process behind")
    variables: str = number("", "file to which the names of the variables of each process are appended")
    print_at: int = number(-1, "gm whose trials print 5 MB, of bytes that are no text too")


def surface(gm: int, gc: int, seed: int, noise: float) -> float:
    """Accuracy: falls with the distance from gm 8 and gc 4 on a log scale; no normalization is worst."""
    if gm == 0:
        return 0.80 + random.Random(seed).gauss(0, noise)
    ghost = 0.90 - 0.005 * abs(math.log2(gm) - 3)
    seq = 0.02 - 0.002 * abs(math.log2(gc) - 2) if gc else 0.0
    return ghost + seq + random.Random(f"{gm} {gc} {seed}").gauss(0, noise)


def load(numbers: PlantedNumbers, data: str | None, home: Path) -> str:
    note_variables(numbers)
    return "no data" * 300_000  # too much for Ray to keep anywhere but in a node's store, which may be lost


def run(params: Params, report: Report) -> Result:
    numbers: PlantedNumbers = params.numbers
    note(numbers, "begin", params)
    note_variables(numbers)
    print(f"training gm={params.gm} gc={params.gc} seed={params.seed}")
    if params.gm == numbers.raise_at:
        raise RuntimeError(f"planted fault at gm={params.gm}")
    if numbers.raise_unless and not Path(numbers.raise_unless).exists():
        raise RuntimeError("not mended")
    if params.gm == numbers.die_at:
        os._exit(7)
    while params.gm == numbers.hang_at:
        time.sleep(1)
    if params.gm == numbers.fork_at and os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    if params.gm == numbers.print_at:
        for _ in range(50):
            os.write(1, b"\xff\x00<script>" * 10_000)
    hoard = []
    while params.gm == numbers.hoard_at:
        hoard.append(bytearray(50_000_000))
    if params.gm == numbers.misbehave_at and params.measure == "validation":
        return MISBEHAVIOURS[params.seed](report)
    value = surface(params.gm, params.gc, params.seed, numbers.noise)
    for epoch in range(1, numbers.flood + 1):
        report(epoch=numbers.epochs + epoch, train_loss=1 / epoch, validation_accuracy=value)
    for epoch in range(1, numbers.epochs + 1):
        time.sleep(numbers.seconds / numbers.epochs)
        report(
            epoch=epoch,
            train_loss=1 / epoch,
            validation_loss=1 / epoch,
            validation_accuracy=value * epoch / numbers.epochs,
        )
    while params.gm == numbers.hold_at and not Path(numbers.hold_until).exists():
        time.sleep(0.1)
    if params.gm == numbers.diverge_at:
        value = math.nan
    if params.gm == numbers.chance_at:
        value = 0.11
    note(numbers, "end", params)
    return Result(value=value, samples=1000, classes=10)


def note(numbers: PlantedNumbers, what: str, params: Params) -> None:
    """Append to the journal: a line that a person reads, or, in a file named ``.jsonl``, one that tells more."""
    if not numbers.journal:
        return
    line = f"{what} {params.measure} gm={params.gm} gc={params.gc} seed={params.seed}"
    if numbers.journal.endswith(".jsonl"):
        assert params.folder is not None
        where = {"search": params.folder.parents[1].name, "key": params.folder.name}
        life = {"pid": os.getpid(), "driver": os.environ.get("SEQNORM_DRIVER", "")}
        line = json.dumps({"at": time.monotonic(), "what": what, **where, **life})
    with Path(numbers.journal).open("a") as journal:
        journal.write(f"{line}\n")  # in one write, as other processes write too


def note_variables(numbers: PlantedNumbers) -> None:
    """Append a line with the names of this process's variables."""
    if numbers.variables:
        with Path(numbers.variables).open("a") as file:
            file.write(f"{' '.join(sorted(os.environ))}\n")


class Speechless(Exception):
    """An exception whose text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Callable[[Report], Result]:
    def misbehave(report: Report) -> Result:
        raise error

    return misbehave


def reporting(**reported: Any) -> Callable[[Report], Result]:
    def misbehave(report: Report) -> Result:
        with suppress(Exception):  # some recipes do
            report(**reported)
        return Result(value=0.9)

    return misbehave


def returning(result: Any) -> Callable[[Report], Any]:
    return lambda report: result


def closing_output(report: Report) -> Result:
    sys.stdout.close()
    os.close(2)
    raise ValueError("closed")


MISBEHAVIOURS: tuple[Callable[[Report], Result], ...] = (  # by seed
    reporting(epoch=0.5, validation_accuracy=0.5),
    reporting(epoch=2**31, validation_accuracy=0.5),
    reporting(epoch=2**70, validation_accuracy=0.5),
    reporting(epoch=1, validation_accuracy="high"),
    raising(ValueError("a lone \ud800 and a \0")),
    raising(Speechless()),
    raising(SystemExit(0)),
    raising(KeyboardInterrupt()),
    returning(None),
    returning(Result(value="0.9")),  # type: ignore[arg-type]
    returning(Result(value=1.7e308)),
    closing_output,
    reporting(epoch=1, validation_accuracy=math.inf),  # which is no fault
)


RECIPE = Recipe(
    name="planted",
    title="a known response surface; trains nothing",
    numbers=PlantedNumbers,
    run="planted:run",
    load="planted:load",
    widths=lambda numbers: (64, 32),
)

RECIPE_OF_LOSS = Recipe(
    name="planted-loss",
    title="the same with a loss, which is better the lower it is",
    numbers=PlantedNumbers,
    run="planted:run_loss",
    load="planted:load",
    widths=lambda numbers: (64, 32),
    metric="loss",
    mode="min",
)


def run_loss(params: Params, report: Report) -> Result:
    value = 1 - surface(params.gm, params.gc, params.seed, params.numbers.noise)
    report(epoch=1, train_loss=value, validation_loss=value)
    return Result(value=value)
