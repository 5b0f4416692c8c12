"""digits-mlp: ours, for trying things out; no figures of the paper belong to it."""

from __future__ import annotations

from trainers.recipes.mlp import run_mlp
from trainers.trial import Params, Report, Result


def run(params: Params, report: Report) -> Result:
    """Train 64-128-128-10 with plain SGD."""
    return run_mlp((params.numbers.width, params.numbers.width), params, report)
