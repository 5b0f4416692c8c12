"""Keeps processes out of the folder that a person stands in: what lies there is theirs, and may be called random.py.

Python looks for modules in the current folder (not with ``-P``), and Ray has all processes of trials look in that of
the driver. So services run in the home folder, and drivers in the folder of their search. Variables with relative
paths, e.g. PYTHONPATH, go on meaning what they meant.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PATHS = (  # variables that may hold paths, those of Python and of programs in lists
    *("PYTHONPATH", "PATH", "LD_LIBRARY_PATH", "TMPDIR", "XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME"),
    *("PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL"),
    *("RAY_AUTH_TOKEN_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF"),
)


def absolute_paths(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return variables with their relative paths made absolute, if they exist. An empty one is this folder."""
    return {
        name: os.pathsep.join(map(_make_absolute, given.split(os.pathsep)))
        for name in _PATHS
        if (given := environ.get(name))
    }


def _make_absolute(path: str) -> str:
    return str(Path(path).absolute()) if Path(path).exists() else path


def enter(folder: Path) -> None:
    """Make a folder the current one of this process, and of those that it starts.

    Raises:
        OSError: if it cannot be entered.
    """
    paths = absolute_paths()
    os.chdir(folder)
    os.environ.update(paths)
