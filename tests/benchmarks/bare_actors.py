"""Starts Ray actors as fast as Ray can: ``python -m tests.benchmarks.bare_actors COUNT CPUS``.

Prints the seconds from the first actor's first instruction to the last's. Each imports what a trial's process imports.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from search.engine import ray_environment


def main() -> None:
    """Start them on a private Ray, and end it."""
    count, cpus = int(sys.argv[1]), float(sys.argv[2])
    os.environ |= ray_environment.variables_for("")
    import ray

    ray.init(address="local", include_dashboard=False, _temp_dir=tempfile.mkdtemp(prefix="ray-"), log_to_driver=False)

    class Actor:
        def __init__(self) -> None:
            from ray import tune  # noqa: F401

            import search.engine.ray_executor  # noqa: F401

        def ready(self) -> float:
            return time.time()

    actors = [ray.remote(Actor).options(num_cpus=cpus).remote() for _ in range(count)]
    ready = ray.get([actor.ready.remote() for actor in actors])
    print(max(ready) - min(ready))
    ray.shutdown()


if __name__ == "__main__":
    main()
