"""A Ray cluster on this machine, as a process of its own: ``python ray_cluster.py CPUS CPUS …``, the head's first.

Prints one JSON object with its address and the raylet pid of each node beside the head, then lives until its standard
input closes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

ATTEMPTS = 3  # to start: Ray gives a node 30 s, which a busy machine may not have


@dataclass(frozen=True)
class Cluster:
    """Where a cluster is, and the processes to kill of it."""

    address: str
    raylets: list[int]


@contextmanager
def serving_ray(*cpus: int, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """Run a cluster, with more variables than this process has."""
    for _ in range(ATTEMPTS):
        with subprocess.Popen(
            [sys.executable, __file__, *map(str, cpus)],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = next((line for line in process.stdout if line.startswith("{")), None)
            if line:
                yield Cluster(**json.loads(line))
                process.communicate(timeout=90)
                return
    raise AssertionError(f"the cluster did not start in {ATTEMPTS} attempts")


def main() -> None:
    """Run a cluster until standard input closes."""
    from ray.cluster_utils import Cluster as Nodes

    head, *others = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # short: it holds sockets
        unneeded = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        arguments = {"num_cpus": head, "temp_dir": folder, **unneeded}
        cluster = Nodes(initialize_head=True, head_node_args=arguments)
        nodes = [cluster.add_node(num_cpus=cpus) for cpus in others]
        cluster.wait_for_nodes()
        raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
        print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
        sys.stdin.read()
        cluster.shutdown()


if __name__ == "__main__":
    main()
