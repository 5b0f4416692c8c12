"""A Ray cluster on this machine, as a process of its own: ``python ray_cluster.py CPUS CPUS …``, the head's first.

``CPUS:GPUS`` gives a node GPUs, which Ray does not look for. Prints one JSON object with its address and the raylet pid
of each node beside the head. Adds a node for each line of such text on its standard input, and lives until that closes.
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
    process: subprocess.Popen[str] | None = None

    def add_node(self, resources: str) -> None:
        """Have another node join some seconds later."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{resources}\n")
        self.process.stdin.flush()


@contextmanager
def serving_ray(*nodes: int | str, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """Run a cluster, with more variables than this process has."""
    for _ in range(ATTEMPTS):
        with subprocess.Popen(
            [sys.executable, __file__, *map(str, nodes)],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = next((line for line in process.stdout if line.startswith("{")), None)
            if line:
                yield Cluster(**json.loads(line), process=process)
                process.communicate(timeout=90)
                return
    raise AssertionError(f"the cluster did not start in {ATTEMPTS} attempts")


def main() -> None:
    """Run a cluster until standard input closes."""
    from ray.cluster_utils import Cluster as Nodes

    def resources(text: str) -> dict[str, int]:
        cpus, _, gpus = text.strip().partition(":")
        return {"num_cpus": int(cpus), "num_gpus": int(gpus or 0)}

    head, *others = map(resources, sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # short: it holds sockets
        unneeded = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        arguments = {**head, "temp_dir": folder, **unneeded}
        cluster = Nodes(initialize_head=True, head_node_args=arguments)
        nodes = [cluster.add_node(**node) for node in others]
        cluster.wait_for_nodes()
        raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
        print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
        for line in sys.stdin:
            cluster.add_node(**resources(line))
        cluster.shutdown()


if __name__ == "__main__":
    main()
