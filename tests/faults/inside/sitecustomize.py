"""Runs at the start of every process that finds this folder on its path: sets failpoints in the product's own.

The product knows nothing of it. ``FAULTS`` names a folder with ``plan.json``: what is to happen in which process.
"""

import json
import os
import sys
from pathlib import Path

folder = os.environ.get("FAULTS", "")
words = " ".join(sys.orig_argv)
role = next(
    (
        name
        for name in ("driver", "worker", "service")
        if {
            "driver": "search.engine.driver" in words,
            "worker": words.endswith(" worker") or " worker --" in words,
            "service": "-m service" in words or words.endswith(" serve"),
        }[name]
    ),
    None,
)

if role == "driver" and os.environ.get("FAULTS_TRANSACTIONS"):
    import transaction_times

    transaction_times.record(Path(os.environ["FAULTS_TRANSACTIONS"]))
elif role:
    plan = json.loads((Path(folder) / "plan.json").read_text())
    import failpoints

    failpoints.install(role, plan["points"], Path(folder))
    if plan["without_ray"] and role == "driver":
        failpoints.replace_module("search.engine.ray_executor", Path(__file__).with_name("process_executor.py"))
