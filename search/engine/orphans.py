"""Cleans up the processes and folders that a killed driver leaves behind."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

RAY_FOLDER_PREFIX = "seqnorm-ray-"  # temporary folder of a private cluster; the driver's pid follows
MARK_VARIABLE = "SEQNORM_DRIVER"  # variable that a driver and all its descendants inherit


def ray_folder_prefix(pid: int) -> str:
    """Return the folder name prefix of a driver's private cluster."""
    return f"{RAY_FOLDER_PREFIX}{pid}-"


def kill_processes(mark: str) -> None:
    """Kill every process with a mark: Ray's workers leave the driver's session and may outlive it."""
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
    """Remove the working folder of a driver, and the folders of private clusters whose driver has ended.

    Working folders of other drivers are kept, because one of them may run the search by now.
    """
    shutil.rmtree(search_folder / f"ray-{mark}", ignore_errors=True)
    for folder in Path(tempfile.gettempdir()).glob(f"{RAY_FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(RAY_FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
