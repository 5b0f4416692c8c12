"""``make bench``: run every benchmark and print its figures, with the machine and the versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sys

from tests.benchmarks import (
    augmentation,
    choice,
    commands,
    driver,
    engine,
    layers,
    load,
    page,
    scale,
    service,
    slots,
    training,
)

BENCHMARKS = {
    "layers": layers.main,
    "augmentation": augmentation.main,
    "training": training.main,
    "engine": engine.main,
    "slots": slots.main,
    "commands": commands.main,
    "service": service.main,
    "scale": scale.main,
    "load": load.main,
    "page": page.main,
    "driver": driver.main,
}
LONG = {"choice": choice.main}  # only where they are named; demo_choice.py is run by itself


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    packages = ("torch", "ray", "optuna", "sqlalchemy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"{datetime.date.today()} · {os.cpu_count()} cores · Python {platform.python_version()} · {versions}")
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"\n## {name}\n", flush=True)
        {**BENCHMARKS, **LONG}[name]()


if __name__ == "__main__":
    main()
