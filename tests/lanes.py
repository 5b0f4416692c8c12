"""What tests start, which decides the lane that they run in, and which of them wait for each other.

Marks follow from fixtures, so that none is forgotten. The fast lane is everything without one; what would start Ray,
PostgreSQL or a browser there fails, and says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

GROUPS = {  # by fixture: tests that run in one process, one after another, as they share what is made once in a run
    "browser": "browser and shared Ray",
    "shared_ray": "browser and shared Ray",
    "own_ray": "own Ray",  # one at a time, as each takes the whole machine
    "site": "site",
    "target": "abuse",
}
DATABASES = {"database_url", "empty_database_url"}
RUNNING = pytest.StashKey[pytest.Item]()
WITHOUT_RAY = Path(__file__).parent / "without_ray"
ROOT = Path(__file__).parents[1]
SLOW_FILES = frozenset(
    line for line in Path(__file__).with_name("slow_files.txt").read_text().splitlines() if not line.startswith("#")
)


def mark_and_group(item: pytest.Item) -> None:
    """Mark a test by what it starts, and group it with those that share a fixture."""
    assert isinstance(item, pytest.Function)
    for mark in _starts(item):
        item.add_marker(mark)
    if group := _group_of(item) or _module_that_shares(item):
        item.add_marker(pytest.mark.xdist_group(group))


def is_slow(file: Path) -> bool:
    """Whether the tests of a file are too slow for the fast lane."""
    return file.is_relative_to(ROOT) and file.relative_to(ROOT).as_posix() in SLOW_FILES


def turn_of(item: pytest.Item) -> int:
    """Return when a test has its turn: the groups go first, as they last longest."""
    return [*dict.fromkeys(GROUPS.values()), None].index(_group_of(item))


def _group_of(item: pytest.Item) -> str | None:
    assert isinstance(item, pytest.Function)
    return next((GROUPS[name] for name in GROUPS if name in item.fixturenames), None)


def _starts(item: pytest.Function) -> Iterator[str]:
    """Name what a test starts, by its fixtures."""
    if is_slow(item.path):
        yield "slow"
    fixtures = set(item.fixturenames)
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if fixtures & {"own_ray", "shared_ray"}:
        yield "ray"
    if "browser" in fixtures:
        yield "browser"
    if "postgres_server" in fixtures or (fixtures & DATABASES and "postgresql" in parameters):
        yield "postgres"


def _module_that_shares(item: pytest.Function) -> str | None:
    """Return the file of a test that shares a fixture with others of its file."""
    scopes = {definitions[-1].scope for definitions in item._fixtureinfo.name2fixturedefs.values()}
    return item.nodeid.partition("::")[0] if "module" in scopes else None


def require_groups(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse versions of pytest and pytest-xdist that do not name the group of a test in its id."""
    if not getattr(config.option, "loadgroup", False):  # set in the processes that share the tests by groups
        return
    for item in items:
        for mark in item.iter_markers("xdist_group"):
            assert item.nodeid.endswith(f"@{mark.args[0]}"), "pytest-xdist does not group: see pytest in pyproject.toml"


def require_mark(config: pytest.Config, mark: str) -> None:
    """Refuse to start what the test that runs is not marked with."""
    item = config.stash[RUNNING]
    assert item.get_closest_marker(mark), f"{item.nodeid} is not marked {mark}: name the fixture among its arguments"


def forbid_ray() -> None:
    """Have ``import ray`` fail in every process that is started from now on."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(WITHOUT_RAY), _path_with_ray()])


def permit_ray(patch: pytest.MonkeyPatch) -> None:
    """Have processes import Ray, and drivers start one of their own."""
    patch.setenv("PYTHONPATH", _path_with_ray())
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        patch.delenv(name, raising=False)


def _path_with_ray() -> str:
    folders = os.environ["PYTHONPATH"].split(os.pathsep)  # a process that shares the tests inherits what we have added
    return os.pathsep.join(folder for folder in folders if folder != str(WITHOUT_RAY))
