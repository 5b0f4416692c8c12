"""A process that trains what it is told to, one job a line, and sends what the trial reports, one message a line."""

from __future__ import annotations

import json
import os
import sys

from search.engine.trial_process import TrialJob, run_trial

answers = os.fdopen(os.dup(1), "w")  # the trial's own output is redirected


def send(message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


for line in sys.stdin:
    run_trial(TrialJob(**json.loads(line)), None, send, {"node": "here", "gpus": []})
