"""The environment that Ray reads when it is imported: set it before importing :mod:`search.engine.ray_executor`."""

from __future__ import annotations

import secrets

# Ray's workers are nice 15 by default and starve on a busy machine. Its console output and result files are not ours.
# A snapshot of the experiment would only cost time: nothing is ever restored.
VARIABLES = {
    "RAY_worker_niceness": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # search.engine.slots keeps them to one a slot, so that all start at once
    "TUNE_WARN_THRESHOLD_S": "60",
}
HEALTH_CHECKS = {  # of a cluster's head; a lost node is noticed in about 2 s instead of 15
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


def variables_for(address: str) -> dict[str, str]:
    """Return the variables of a driver that uses the cluster at an address; without one it starts a private cluster."""
    if address:
        return VARIABLES
    # A private cluster listens on every interface, so it gets a secret of its own, kept in no file.
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return VARIABLES | HEALTH_CHECKS | secret
