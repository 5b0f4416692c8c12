"""Points and their summaries over finished trials: what a rule chooses from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from search.plan.naming import MAIN, read_column, split_name
from search.vocabulary.norms import Norm

Mode = Literal["max", "min"]


@dataclass(frozen=True)
class Point:
    """A configuration to train: a variant of the recipe with its group counts."""

    variant: str
    gm: int
    gc: int

    @property
    def norm(self) -> Norm:
        """The kind of normalization."""
        return Norm.of(self.gm, self.gc)

    def __str__(self) -> str:
        overrides, values = split_name(self.variant)
        named = {"gm": self.gm, "gc": self.gc, **values}
        said = ", ".join(f"{name}={value}" for name, value in named.items())
        return said if overrides == MAIN else f"{overrides}: {said}"

    def read(self, axis: str) -> int | str:
        """Return the value on an axis, or in a column of a table; empty if it has none."""
        return int(getattr(self, axis)) if axis in ("gm", "gc") else read_column(self.variant, axis)


JSON_FIELDS = ("variant", "gm", "gc", "mean", "std", "sem", "n", "failed")  # trials have the figure of each seed


@dataclass(frozen=True)
class Candidate:
    """Summary of a point over its replicates."""

    gm: int
    gc: int
    mean: float | None  #: of the metric over finished replicates; None if there is none
    std: float | None  #: with n − 1 in the denominator; None at n = 1
    n: int  #: finished replicates
    failed: int = 0  #: replicates that diverged or otherwise did not finish
    variant: str = "main"
    refused: str = ""  #: why the layers refuse the point, whatever the seed; empty if they do not
    values: Mapping[int, float] | None = field(default=None, hash=False)  #: by seed; None: comparisons are unpaired

    @property
    def point(self) -> Point:
        """The point that is summarized."""
        return Point(self.variant, self.gm, self.gc)

    @property
    def sem(self) -> float | None:
        """Standard error of the mean; None at n = 1."""
        return None if self.std is None else self.std / math.sqrt(self.n)

    def as_json(self) -> dict[str, object]:
        """Return the figures and the standard error; non-finite numbers become null."""
        figures = {name: getattr(self, name) for name in JSON_FIELDS}
        return {
            name: None if isinstance(figure, float) and not math.isfinite(figure) else figure
            for name, figure in figures.items()
        }


def summarize(point: Point, values: Sequence[float] | Mapping[int, float], failed: int) -> Candidate:
    """Summarize the finished replicates of a point; a mapping says the seed of each figure."""
    figures = list(values.values()) if isinstance(values, Mapping) else values
    n = len(figures)
    mean = math.fsum(figures) / n if n else None
    std = math.hypot(*(figure - mean for figure in figures)) / math.sqrt(n - 1) if mean is not None and n > 1 else None
    return Candidate(
        gm=point.gm,
        gc=point.gc,
        mean=mean,
        std=std,
        n=n,
        failed=failed,
        variant=point.variant,
        values=dict(values) if isinstance(values, Mapping) else None,
    )
