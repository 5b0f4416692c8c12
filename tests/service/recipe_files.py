"""A recipe that a file in the home of a running service describes, and one whose file is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.commands.files import find_file

NAME = "photos"
WRONG = "broken"
SECRETS = ("train.sh", "--key", "WANDB_API_KEY", "top-1", "metrics.csv", "model-7")  # of the operator's files
TEXT = """
title = "ResNet-50 on our photos"
command = "sh train.sh --key model-7 --lr {lr} --steps {steps} --optimizer {optimizer} --bf16 {bf16} --batch {batch}"
metric = "val_acc"
metric_file = "{folder}/metrics.csv"
pattern = 'top-1: ([0-9.]+)'
variables = ["WANDB_API_KEY"]
batch = 256
devices = 8

[numbers]
bf16 = true
steps = {default = 900, unit = "steps of 8 × 32", at_least = 1}

[numbers.lr]
default = 0.1
unit = "per step"
at_least = 0
at_most = 1

[numbers.optimizer]
default = "sgd"
unit = "as torch names it"
choices = ["sgd", "adam"]

[presets.short]
steps = 90
"""


@contextmanager
def describing_recipes(home: Path) -> Iterator[None]:
    """Write both files for a while."""
    files = {find_file(home, NAME): TEXT, find_file(home, WRONG): TEXT.replace("sh train.sh", "nosuch train.sh")}
    for path, text in files.items():
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_text(text)
    yield
    for path in files:
        path.unlink()
