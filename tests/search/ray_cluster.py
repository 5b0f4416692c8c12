"""A Ray cluster of several nodes on this machine, as a process of its own: ``python ray_cluster.py CPUS CPUS …``.

Prints one JSON object with its address and each node's raylet pid, then lives until its standard input closes.
"""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=int(cpus)) for cpus in sys.argv[1:]]
    cluster.wait_for_nodes()
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
    sys.stdin.read()
    cluster.shutdown()
