"""Looks at data sets in child processes with limits, so that the process that asks never reads one.

A web service answers many people at once and must not take the memory that somebody's file asks for. What a child found
is kept until the data set changes. Standard library only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from trainers.recipe import RecipeError, printable, resolve

MEMORY_BYTES = 2 * 2**30  # of a child; the labels of a data set fit, its images need not
SECONDS = 600  # of a child
AT_ONCE = 2  # children
WAIT_SECONDS = 2.0  # for one of the others to end
KEPT = 1000  # findings
FOLDERS = 5000  # of a data set that are looked at to notice a change; findings about one with more are not kept
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")  # no secrets

_room = threading.BoundedSemaphore(AT_ONCE)
_lock = threading.Lock()
_kept: OrderedDict[Hashable, Finding] = OrderedDict()
_children: set[subprocess.Popen[bytes]] = set()


class Busy(RecipeError):
    """Too many data sets are looked at; try again shortly."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a child found: an answer, or why the data set is refused."""

    answer: str | None = None
    refusal: str | None = None


def check(reference: str, numbers: Any, path: str) -> str:
    """Run a recipe's check of a data set; return what it found, as a sentence, or nothing.

    Args:
        reference: ``module:function``, a recipe's ``check_data``.
        numbers: of the recipe.
        path: of the data set.

    Raises:
        RecipeError: if the check refuses the data set, or does not end within the limits.
        Busy: if too many others are running.
    """
    kind = type(numbers)
    values = dataclasses.asdict(numbers)
    finding = _find(
        (reference, numbers, path),
        {"call": reference, "kind": f"{kind.__module__}:{kind.__qualname__}", "values": values, "path": path},
    )
    return finding.answer or ""


def identify(path: str) -> str:
    """Return the identity of a data set (see :mod:`trainers.data.identity`); raises like :func:`check`."""
    return _find(("identify", path), {"call": "trainers.data.identity:identify", "path": path}).answer or ""


def _find(key: tuple[Hashable, ...], request: dict[str, Any]) -> Finding:
    """Return what is known about a data set, else let a child find it."""
    path = request["path"]
    state = _state(path)
    finding = _recall((*key, state))
    if finding is None:
        if not _room.acquire(timeout=WAIT_SECONDS):
            raise Busy(f"at most {AT_ONCE} data sets can be checked at once: got one more. Try again shortly.")
        try:
            finding = _recall((*key, state)) or _run(request)
        finally:
            _room.release()
        # Files may change within a folder without a trace in what is looked at here, so its identity is found anew
        # each time, and so is what is wrong with it.
        if state is not None and not ((finding.refusal or "values" not in request) and os.path.isdir(path)):
            _keep((*key, state), finding)
    if finding.refusal is not None:
        raise RecipeError(finding.refusal)
    return finding


def end_children() -> None:
    """End all children. Whoever waits for one is told that its check did not end."""
    for child in tuple(_children):
        child.kill()


def _recall(key: Hashable) -> Finding | None:
    with _lock:
        return _kept.get(key)


def _keep(key: Hashable, finding: Finding) -> None:
    with _lock:
        _kept[key] = finding
        while len(_kept) > KEPT:
            _kept.popitem(last=False)


def _state(path: str) -> Hashable:
    """Return what changes with a data set: a file's size and times, those of a folder and two levels of folders in it.

    None if it cannot be told, or there are too many folders.
    """
    try:
        found = os.stat(path)
        states = [(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)]
        if not stat.S_ISDIR(found.st_mode):
            return tuple(states)
        waiting = [(path, 2)]
        while waiting:
            folder, depth = waiting.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        inside = entry.stat()
                        states.append((entry.path, inside.st_ino, 0, inside.st_mtime_ns, inside.st_ctime_ns))
                        if depth > 1:
                            waiting.append((entry.path, depth - 1))
                        if len(states) > FOLDERS:
                            return None
    except OSError:
        return None
    return tuple(sorted(states))


def _run(request: dict[str, Any]) -> Finding:
    """Let a child process look at a data set."""
    found = ask_child("trainers.inspection", request)
    if found is not None:
        return Finding(**found)
    return Finding(
        refusal=f"a data set must be checked within {SECONDS} s and {MEMORY_BYTES / 1e9:.1f} GB of memory: "
        f"got {request['path']}, whose check did not end. Give fewer files, or fewer images."
    )


def ask_child(module: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """Run a module in a child process with a request on stdin; return what it answers.

    None if it was killed, or ended without an answer.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # recipes are found where they are found here
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # the child may write no files
    try:
        with subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        ) as child:
            _children.add(child)
            try:
                printed, _ = child.communicate(json.dumps(request).encode(), timeout=SECONDS)
            finally:
                child.kill()
                _children.discard(child)
        found = json.loads(printed)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return found if isinstance(found, dict) else None


def main() -> None:
    """Answer the request on stdin, in a child process."""
    set_limits()
    request = json.load(sys.stdin)
    answer(lambda: dataclasses.asdict(_answer(**request)))


def set_limits(file_bytes: int = 0) -> None:
    """Limit what this process may take: time, memory, and the bytes of a file that it writes."""
    import resource  # not on every platform

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))  # AS would count libraries that are mapped
    signal.alarm(SECONDS)  # in case the process that asked is gone


def answer(find: Callable[[], dict[str, Any]]) -> None:
    """Write what a function finds to stdout. What it prints is not an answer."""
    with contextlib.redirect_stdout(sys.stderr):
        found = find()
    json.dump(found, sys.stdout)


def _answer(call: str, path: str, kind: str | None = None, values: dict[str, Any] | None = None) -> Finding:
    try:
        if kind is None:
            return Finding(answer=resolve(call)(path))
        found = resolve(call)(resolve(kind)(**(values or {})), path)
        return Finding(answer=printable(found) if isinstance(found, str) else None)
    except RecipeError as error:
        return Finding(refusal=str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        refusal = f"a data set must be readable: got {path} ({reason}). Replace it, or choose another."
        return Finding(refusal=printable(refusal))


if __name__ == "__main__":
    main()
