"""What a driver that was killed leaves behind, and removing it."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

RAY_FOLDER_PREFIX = (
    "seqnorm-ray-"  # of a private cluster's folder in the folder for temporary files; then the driver's pid
)
MARK_VARIABLE = "SEQNORM_DRIVER"  # variable that the driver and all it starts carry, whatever session they are in


def ray_folder_prefix(pid: int) -> str:
    """Return how the folder of a driver's private cluster begins."""
    return f"{RAY_FOLDER_PREFIX}{pid}-"


def kill_processes(mark: str) -> None:
    """Kill every process that carries a mark: Ray's workers leave the driver's session and may outlive it."""
    marked = [process for process in psutil.process_iter() if _carries(process, mark)]
    for process in marked:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(marked, timeout=5)


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(MARK_VARIABLE) == mark)
    except (psutil.Error, OSError):
        return False


def remove_folders(search_folder: Path, mark: str) -> None:
    """Remove the working folder of a driver, and those of private clusters whose driver is gone.

    Another driver may hold the search by now, so its working folder stays.
    """
    shutil.rmtree(search_folder / f"ray-{mark}", ignore_errors=True)
    for folder in Path(tempfile.gettempdir()).glob(f"{RAY_FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(RAY_FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
