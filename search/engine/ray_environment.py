"""The variables that Ray reads at import: set them before importing :mod:`search.engine.ray_executor`."""

from __future__ import annotations

import secrets

from search.engine import ray_folder

# Ray's workers have niceness 15 by default and starve on a busy machine. Its console output and result files are not
# used. Snapshots of the experiment would only cost time, because nothing is restored from them.
VARIABLES = {
    "RAY_worker_niceness": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # no limit: search.engine.slots keeps at most one per slot
    "TUNE_WARN_THRESHOLD_S": "60",
}
# A private cluster is for this host. So it binds the loopback address, as Ray does by default on macOS and Windows; and
# there is no port with metrics, which nobody reads.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_enable_metrics_collection": "0"}
HEALTH_CHECKS = {  # of a cluster's head; it detects a lost node in about 2 s instead of 15 s
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


def variables_for(address: str) -> dict[str, str]:
    """Return the variables for a cluster at an address, or for a private cluster if there is no address.

    Raises:
        RayUnavailable: if there is no folder for a private cluster.
    """
    if address:
        return VARIABLES
    # Other users of the host reach the loopback address, so a private cluster gets its own secret, which is not stored.
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return VARIABLES | LOOPBACK | HEALTH_CHECKS | secret | ray_folder.variables()
