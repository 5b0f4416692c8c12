"""Which variables trials get. What a recipe sees on a real Ray is in test_engine.py."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from search.engine.trial_environment import RAY_CREDENTIALS, select_variables

FOREIGN = {
    "PGPASSWORD": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_PROFILE": "x",
    "GITHUB_TOKEN": "x",
    "HF_TOKEN": "x",
    "SEQNORM_DB": "postgresql://u:p@h/d",
    "SEQNORM_DB_FILE": "/run/secrets/db",
    "SEQNORM_TOKEN": "x",
    "SEQNORM_WEBHOOK_SECRET_FILE": "x",
    "SEQNORM_WEBHOOKS": "https://a.example",
    "RAY_AUTH_TOKEN": "x",
    "RAY_AUTH_TOKEN_PATH": "x",
    "RAY_REDIS_PASSWORD": "x",
    "CONDA_TOKEN": "x",
    "SSH_AUTH_SOCK": "x",
    "HTTPS_PROXY": "http://ada:secret@proxy:3128",
    "MY_LIBRARY_ROOT": "/x",
}
NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/ada",
    "LC_ALL": "C.UTF-8",
    "LD_LIBRARY_PATH": "/x",
    "CUDA_VISIBLE_DEVICES": "0",
    "OMP_NUM_THREADS": "1",
    "NCCL_DEBUG": "INFO",
    "PYTHONPATH": "/x",
    "TORCHINDUCTOR_CACHE_DIR": "/x",
    "HF_HOME": "/x",
    "http_proxy": "http://proxy:3128",
    "SSL_CERT_FILE": "/x",
    "RAY_JOB_ID": "01",
    "RAY_AUTH_MODE": "token",
    "SEQNORM_HOME": "/x",
    "SEQNORM_DRIVER": "x",
}


def test_trials_get_what_training_needs_and_nothing_else() -> None:
    assert select_variables(FOREIGN | NEEDED) == NEEDED


def test_operators_add_names_and_prefixes() -> None:
    more = {"MY_LIBRARY_ROOT", "AWS_PROFILE", "HTTPS_PROXY", "AWS_SECRET_ACCESS_KEY"}
    assert select_variables(FOREIGN, ("MY_*", "AWS_*", "HTTPS_PROXY")).keys() == more


@pytest.mark.parametrize("added", ["SEQNORM_*", "SEQNORM_DB", "SEQNORM_DB_FILE"])
def test_nobody_can_add_the_settings_that_hold_secrets(added: str) -> None:
    assert select_variables(FOREIGN, (added,)) == {}


PROGRAM = """
import json, os, sys
from search.engine.trial_environment import prepare_process, reduce_environment
reduce_environment(keep=sys.argv[1:])
kept = dict(os.environ)
prepare_process("MY_*")
os.environ["OF_A_LIBRARY"] = "1"
prepare_process("MY_*")
print(json.dumps([kept, dict(os.environ), os.umask(0)]))
"""


def test_a_driver_keeps_what_ray_needs_and_a_trial_drops_it_but_not_what_libraries_set_later() -> None:
    needed = NEEDED | {"PYTHONPATH": ":".join(filter(None, sys.path))}
    del needed["SEQNORM_DRIVER"]  # of no driver: a worker on this host would kill the process
    words = [sys.executable, "-c", PROGRAM, *RAY_CREDENTIALS]
    done = subprocess.run(words, env=FOREIGN | needed, capture_output=True, text=True, check=True)
    driver, trial, umask = json.loads(done.stdout)
    assert driver == needed | {"RAY_AUTH_TOKEN": "x", "RAY_AUTH_TOKEN_PATH": "x"}
    assert trial == needed | {"OF_A_LIBRARY": "1"}
    assert umask == 0o077


@pytest.mark.parametrize("added", ["PGPASSWORD", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_nobody_can_add_the_credentials_of_ray_and_of_the_database(added: str) -> None:
    assert select_variables(FOREIGN, (added,)) == {}
