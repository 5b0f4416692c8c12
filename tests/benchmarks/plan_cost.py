"""What the costliest accepted body of ``POST /api/searches/plan`` costs in the web process, in seconds of CPU."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from search.actions.estimate import estimate
from search.plan.spec import SearchSpec
from search.settings import Settings

ALL = list(range(2, 258))
AXES = ("batch", "width", "learning_rate", "weight_decay", "dropout", "noise", "mixup", "label_smoothing")
EMPTY = {f"v{i}": {} for i in range(64)}
Body = Mapping[str, Any]


def costly_bodies() -> dict[str, Body]:
    """Return bodies that are each the most expensive of their kind: of few values, but many different ones."""
    each = range(64)
    return {
        "64 empty variants, prime batch and width": _body(EMPTY, batch=1_048_573, width=16_381),
        "64 batches and widths": _body({f"v{i}": {"batch": 2**20 - i, "width": 2**14 - i} for i in each}),
        "many divisors in each variant": _body(
            {f"v{i}": {"batch": 720_720 + 5040 * i, "width": 15_120 + 12 * i} for i in each}
        ),
        "64 networks of 1,200 layers": _body({f"v{i}": {"depth": 1202, "width": 64 + i} for i in each}),
        "every number in every variant": _body({f"v{i}": _every_number(i) for i in each}),
        "the longest texts": _body(EMPTY) | {"note": "ä" * 10_000, "name": "ä" * 200},
        "64 widths on an axis, with checks": _body({"main": {}}, batch=1_048_573)
        | {"vary": {"width": [2**14 - i for i in each]}, "rounds": "until-settled"},
        "8 axes": _body({"main": {}})
        | {"vary": {name: _eight(name) for name in AXES}, "rounds": "until-settled", "check_rule": "best-mean"},
        "values that nobody refuses": _body({f"v{i}": {"batch": 720_720, "width": 2520 * (1 + i % 6)} for i in each})
        | {"gm": _divisors(720_720, 4), "gc": _divisors(2520, 1)},
    }


def measure_plan_cost() -> dict[str, float]:
    """Return the seconds of CPU of each body, from the parsed JSON to the answer; the database is not asked."""
    return {name: _seconds(body) for name, body in costly_bodies().items()}


def _seconds(body: Body) -> float:
    text = json.dumps(body)

    def answer() -> None:
        fields = SearchSpec(**json.loads(text)).model_dump(mode="json", exclude_unset=True)  # as the route does
        estimate(Settings(), fields).model_dump_json()

    return min(_cpu_seconds(answer) for _ in range(3))


def _cpu_seconds(work: Callable[[], None]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _body(variants: Body, **numbers: float) -> dict[str, Any]:
    fixed = {"recipe": "cifar10-resnet56", "strategy": "sequential", "seeds": [0], "test_seeds": 1}
    return {**fixed, "gm": ALL, "gc": ALL, "numbers": {"depth": 8, **numbers}, "variants": variants}


def _divisors(of: int, smallest_group: int) -> list[int]:
    return [value for value in range(1, of // smallest_group + 1) if of % value == 0][:256]


def _eight(name: str) -> list[int | float]:
    return [i + 1 for i in range(8)] if name in ("batch", "width") else [0.01 * (i + 1) for i in range(8)]


def _every_number(position: int) -> dict[str, Any]:
    return {
        "batch": 1_048_576 - position,
        "epochs": 40 + position,
        "learning_rate": 0.1,
        "peak_factor": 30.0,
        "floor_factor": 0.03,
        "up_epochs": 15.0,
        "down_epochs": 15.0,
        "weight_decay": 1e-4,
        "flip": True,
        "pad": 4,
        "depth": 1202,
        "width": 16_384 - position,
        "momentum": 0.9,
        "label_smoothing": 0.1,
        "dropout": 0.1,
        "noise": 0.1,
        "randaugment_n": 2,
        "randaugment_m": 5.0,
        "mixup": 0.2,
        "image_size": 32,
        "precision": "fp32",
        "device": "cpu",
    }


if __name__ == "__main__":
    for name, seconds in measure_plan_cost().items():
        print(f"{seconds:7.3f} s  {name}")
