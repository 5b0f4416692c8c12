"""The git commit of a folder, as part of what a command's result depends on."""

from __future__ import annotations

import os
import subprocess

NO_REPOSITORY = "none"
UNKNOWN = "unknown"  #: git is missing, slow, or refuses another user's folder; such a commit equals every other
SECONDS = 2.0
# only files that git tracks count: programs write their results beside them
_DESCRIBE = ("git", "-c", "core.fsmonitor=false", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def read_commit(folder: str) -> str:
    """Return the commit that is checked out in a folder, with ``-dirty`` behind it if a tracked file was changed."""
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}  # so that it writes nothing, the index included
    try:
        described = subprocess.run(
            _DESCRIBE, cwd=folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    if "dubious ownership" in described.stderr:  # of web, say, where the worker's user owns the folder
        return UNKNOWN
    return described.stdout.strip() if described.returncode == 0 else NO_REPOSITORY
