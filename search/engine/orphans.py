"""Cleans up the processes and folders that a killed driver leaves behind."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from search.engine import ray_folder
from search.engine.locked_folder import remove_unlocked
from search.vocabulary.errors import RayUnavailable

WORKING_FOLDER_PREFIX = "ray-"  # of a driver, in the folder of its search
DRIVER_MODULE = "search.engine.driver"
MARK_VARIABLE = "SEQNORM_DRIVER"  # variable that a driver and all its descendants inherit


def kill_processes(mark: str) -> None:
    """Kill every process with a mark: Ray's workers leave the driver's session and may outlive it."""
    _kill(_marked_processes().get(mark, []))


def kill_leftovers() -> None:
    """Kill the processes of drivers that have ended, if their worker was killed with them."""
    for processes in _marked_processes().values():
        if not any(_is_driver(process) for process in processes):
            _kill(processes)


def clean_up(search_folders: Iterable[Path]) -> None:
    """Kill the processes and remove the folders of drivers that were killed together with their worker."""
    kill_leftovers()
    for folder in search_folders:
        remove_folders(folder)


def remove_folders(search_folder: Path) -> None:
    """Remove the working folders of a search and the folders of private clusters, of drivers that have ended."""
    remove_unlocked(search_folder, WORKING_FOLDER_PREFIX)
    with suppress(RayUnavailable):  # there is no temporary folder
        for parent in ray_folder.parents():
            remove_unlocked(parent, ray_folder.PREFIX)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


def _marked_processes() -> dict[str, list[psutil.Process]]:
    """Return the processes that have a mark, by mark."""
    marked: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if mark := process.environ().get(MARK_VARIABLE):
                marked.setdefault(mark, []).append(process)
    return marked


def _is_driver(process: psutil.Process) -> bool:
    try:
        return DRIVER_MODULE in process.cmdline()
    except psutil.Error:
        return False
