"""Hashes what a result depends on besides the spec: recipe code, resolved numbers, data and layers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from search.plan.commit import UNKNOWN, read_commit
from search.plan.spec import SearchSpec, refusing_specs
from trainers import inspection
from trainers.commands.command import Command
from trainers.recipe import Recipe, resolve

Stamp = tuple[int, int, int, int]

ABSENT = "absent"  #: the identity of a missing data set
MISSING = "missing"  # that of one that a person named
FILE = "file "  # before the name of a file that a command is made of


def compute_digest(spec: SearchSpec, recipe: Recipe, home: Path) -> dict[str, str]:
    """Return a short hash of each part, without importing the recipe's code; of a command, the commit itself.

    Raises:
        InvalidSpec: if the data set cannot be read.
        Busy: if too many data sets are being read.
    """
    numbers: dict[str, Any] = {variant: asdict(found) for variant, found in spec.resolve_all_numbers(recipe).items()}
    if spec.test_numbers:
        numbers["in stage test"] = spec.test_numbers  # no variant is named so
    if recipe.command:
        code = _describe_command(recipe.command)
    else:
        code = {"recipe": _hash_source(recipe.run.partition(":")[0])}
    return {
        **code,
        "numbers": _short(json.dumps(numbers, sort_keys=True).encode()),
        "data": _data(spec, recipe, home),
        "seqnorm": _hash_source("seqnorm"),
    }


def _describe_command(command: Command) -> dict[str, str]:
    """Hash a command and its files, and read the commit of its folder.

    A program that is looked for on PATH counts by its name: a service and its workers may have it in other places.
    """
    fields = asdict(command)
    if (program := fields.pop("program")) is not None:
        fields["words"] = (program, *command.words[1:])
    present = [file for file in command.files if os.path.isfile(file)]  # a missing one counts as changed
    named: dict[str, list[str]] = {}
    for file in present:
        named.setdefault(FILE + os.path.basename(file), []).append(file)  # folders may be nobody's business
    return {
        "command": _short(json.dumps(fields, sort_keys=True).encode()),
        "script": _hash_files(tuple((file, _stamp(file)) for file in present)),
        **{name: _hash_files(tuple((file, _stamp(file)) for file in files)) for name, files in named.items()},
        "commit": read_commit(command.folder),
    }


def _hash_source(module: str) -> str:
    """Hash the source of a module's whole top-level package, because recipes share training loops and data code."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return _short(b"")
    folders = spec.submodule_search_locations  # a namespace package has no origin
    files = sorted(_find_sources(folders)) if folders is not None else [spec.origin or ""]
    return _hash_files(tuple((file, _stamp(file)) for file in files if file))


def _find_sources(folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        for parent, _, names in os.walk(folder):  # five times as fast as Path.rglob
            yield from (os.path.join(parent, name) for name in names if name.endswith(".py"))


@lru_cache
def _hash_files(stamped: tuple[tuple[str, Stamp], ...]) -> str:
    """Hash the contents of files, once for each state of them: a service hashes at every submission."""
    return _short(b"".join(Path(file).read_bytes() for file, _ in stamped))


def _stamp(file: str) -> Stamp:
    """Return what changes when a file is written or replaced."""
    found = os.stat(file)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _data(spec: SearchSpec, recipe: Recipe, home: Path) -> str:
    if spec.data:
        with refusing_specs():
            return inspection.identify(spec.data)
    if recipe.identify_data is None:
        return "bundled"
    identity: str = resolve(recipe.identify_data)(home)
    return identity


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def changed_parts(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the parts that changed since a search was submitted, files by name; empty if it has no digest."""
    changed = [part for part in before if before[part] != after.get(part)]
    known = [part for part in changed if UNKNOWN not in (before[part], after.get(part))]
    if any(part.startswith(FILE) for part in known):  # older digests have them as one
        known = [part for part in known if part != "script"]
    return [part.removeprefix(FILE) for part in known]


def lacks_data(digest: dict[str, str]) -> bool:
    """Return whether the data set is not there."""
    return digest["data"] in (ABSENT, MISSING)
