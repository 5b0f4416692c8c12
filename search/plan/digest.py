"""What a result depends on beside the spec: the code of the recipe, its numbers, its data and the layers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path

from search.plan.spec import SearchSpec
from trainers.recipe import Recipe, resolve

ABSENT = "absent"  #: what a recipe says of a data set that is not there


def compute_digest(spec: SearchSpec, recipe: Recipe, home: Path) -> dict[str, str]:
    """Return a short hash of each, without importing the recipe's code."""
    numbers = {variant: asdict(spec.resolve_numbers(recipe, variant)) for variant in spec.variants}
    return {
        "recipe": _short(_package_source(recipe.run.partition(":")[0])),
        "numbers": _short(json.dumps(numbers, sort_keys=True).encode()),
        "data": _data(spec, recipe, home),
        "seqnorm": _short(_package_source("seqnorm")),
    }


def _package_source(module: str) -> bytes:
    """Return the source of a module's whole top-level package: a recipe shares loops and data with others."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return b""
    folders = spec.submodule_search_locations  # also of a package without __init__.py, which has no origin
    files = sorted(file for folder in folders for file in Path(folder).rglob("*.py")) if folders else [spec.origin]
    return b"".join(Path(file).read_bytes() for file in files if file)


def _data(spec: SearchSpec, recipe: Recipe, home: Path) -> str:
    if spec.data:
        path = Path(spec.data)
        return _folder(path) if path.is_dir() else _file(path)
    if recipe.identify_data is None:
        return "bundled"
    identity: str = resolve(recipe.identify_data)(home)
    return identity


def _file(path: Path) -> str:
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _folder(path: Path) -> str:
    """Hash names and sizes: an image folder may hold hundreds of gigabytes."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return _short("\n".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files).encode())


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def changed_parts(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Name what a search began with and is another now; a search without a digest never changed."""
    return [part for part in before if before[part] != after.get(part)]
