"""What a trial reserves, and how many trials fit on a cluster; counted as Ray counts, without Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class InsufficientResources(Exception):
    """No node of the cluster is large enough for a trial."""


@dataclass(frozen=True, kw_only=True)
class TrialResources:
    """The resources that a trial reserves."""

    cpus: float
    gpus: float = 0
    memory_bytes: int | None = None
    concurrency: int | None = None  #: maximum number of parallel trials
    searches_at_once: int = 1  #: searches that share the cluster
    most_on_node: int | None = None  #: maximum number of trials that are counted for a node

    def to_ray_resources(self) -> dict[str, float]:
        """Return the resources in Ray's format."""
        return {"cpu": self.cpus, "gpu": self.gpus, **({"memory": self.memory_bytes} if self.memory_bytes else {})}

    def fits(self, free: Mapping[str, float]) -> bool:
        """Return whether a trial fits into resources, of which some may be infinite."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_bytes or 0}
        return all(free.get(kind, 0) >= need for kind, need in needs.items())

    def count_fitting(self, free: Mapping[str, float]) -> int:
        """Return how many trials fit into free resources, counted as Ray does."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_bytes or 0}
        return min(_units(free.get(kind, 0)) // max(1, _units(need)) for kind, need in needs.items() if need)

    def count_slots(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many trials fit on nodes with these resources: the search's share, up to the concurrency.

        Raises:
            InsufficientResources: if no node is large enough for one.
        """
        counts = [self.count_fitting(node) for node in nodes]
        fitting = sum(min(count, self.most_on_node or count) for count in counts)
        if not fitting:
            has = "; ".join(map(self.describe_node, nodes))
            raise InsufficientResources(
                f"a trial must fit on one node: got {self}, and the cluster has {len(nodes)} nodes with {has}. "
                "Ask for less, or add a node."
            )
        share = max(1, fitting // self.searches_at_once)
        return min(share, self.concurrency or share)

    def describe_node(self, node: Mapping[str, float]) -> str:
        """Describe what a node has, with its memory if trials reserve some."""
        kinds = {"CPU": 1.0, "GPU": 1.0} | ({"memory": 1e-9} if self.memory_bytes else {})
        parts = {kind: node.get(kind, 0) * factor for kind, factor in kinds.items()}
        names = {"memory": "GB"}
        return ", ".join(f"{part:.4g} {names.get(kind, kind)}" for kind, part in parts.items() if part != math.inf)

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU", f"{self.gpus:g} GPU"] if self.gpus else [f"{self.cpus:g} CPU"]
        return ", ".join([*parts, *([f"{self.memory_bytes / 1e9:g} GB"] if self.memory_bytes else [])])


def _units(amount: float) -> int:
    """Return an amount in ten-thousandths, as Ray does: in floats, 0.1 fits into 1 only nine times."""
    return round(amount * 10_000)
