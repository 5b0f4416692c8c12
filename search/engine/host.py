"""What this host has for a private Ray, at most; read without Ray."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import psutil

OVERRIDE = "RAY_OVERRIDE_RESOURCES"  # variable with which Ray is told what its node has
UNCOUNTED = ("dev/kfd", "dev/dxg", "dev/dri/renderD128")  # devices that only a vendor's library can tell to be GPUs


def read_capacity(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> dict[str, float]:
    """Return the most that Ray can find here, in its units; infinite where that is not certain.

    Ray itself finds less where other processes use the memory, or some devices are hidden.
    """
    if environ.get(OVERRIDE):
        return dict.fromkeys(("CPU", "GPU", "memory"), math.inf)
    return {
        "CPU": min(os.cpu_count() or math.inf, _cpu_quota(root)),
        "GPU": _count_gpus(root),
        "memory": min(psutil.virtual_memory().total, _read_limit(root / "sys/fs/cgroup/memory.max")),
    }


def _count_gpus(root: Path) -> float:
    if any((root / device).exists() for device in UNCOUNTED):
        return math.inf
    folder = root / "dev"
    return sum(re.fullmatch(r"nvidia\d+", device.name) is not None for device in folder.glob("nvidia*"))


def _cpu_quota(root: Path) -> float:
    """Return the CPUs that a container may use."""
    try:
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no container, or "max"
        return math.inf


def _read_limit(file: Path) -> float:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return math.inf
