"""An executor on a private Ray, as a process of its own. Prints one JSON object with the processes of its Ray, then ten
times a second what it knows of its nodes, until its standard input closes; then ``closed`` and how long that took.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time


def main() -> None:
    """Print until standard input closes."""
    from search.engine import ray_environment

    os.environ |= ray_environment.variables_for("")
    from search.engine.node_watch import find_servers
    from search.engine.ray_executor import Executor

    executor = Executor("")
    print(json.dumps({name: process.pid for name, process in find_servers().items()}), flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: ended.set() if not sys.stdin.read() else None, daemon=True).start()
    while not ended.wait(0.1):
        known = {
            "own_node_alive": executor.own_node_alive(),
            "silent_seconds": executor.silent_seconds(),
            "alive": [node.alive for node in executor.nodes()],
        }
        print(json.dumps(known), flush=True)
    start = time.monotonic()
    executor.close()
    print(json.dumps({"closed": time.monotonic() - start}), flush=True)
    os._exit(0)  # Ray would ask its cluster once more


if __name__ == "__main__":
    main()
