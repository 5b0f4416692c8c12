"""A test is marked by what it starts, and cannot start more."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.lanes import ROOT, SLOW_FILES, is_slow, require_mark


def imports_ray() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", "import ray"], capture_output=True, text=True, timeout=120)


def test_nothing_that_a_test_without_a_mark_starts_can_import_ray(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("ray") is None
    done = imports_ray()
    assert done.returncode == 1
    assert done.stderr.strip().endswith("ask for the fixture shared_ray, or own_ray where Ray is the subject")


def test_a_test_that_asks_for_ray_is_marked_and_can(own_ray: None, request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("ray")
    assert imports_ray().returncode == 0


def test_the_half_of_a_test_on_postgresql_is_marked(database_url: str, request: pytest.FixtureRequest) -> None:
    marked = request.node.get_closest_marker("postgres") is not None
    assert marked == database_url.startswith("postgresql")


@pytest.mark.parametrize("mark", ["browser", "postgres"])
def test_a_server_or_browser_is_refused_to_a_test_without_the_mark(mark: str, pytestconfig: pytest.Config) -> None:
    with pytest.raises(AssertionError, match=f"is not marked {mark}: name the fixture among its arguments"):
        require_mark(pytestconfig, mark)


def test_the_slow_files_are_there_and_are_told_from_others() -> None:
    assert [name for name in SLOW_FILES if not (ROOT / name).is_file()] == []
    assert is_slow(ROOT / "tests/seqnorm/test_compiled.py")
    assert not is_slow(ROOT / "tests/seqnorm/test_ghost_norm.py")


def test_a_test_of_a_slow_file_is_marked_and_no_other(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert (item.get_closest_marker("slow") is not None) == is_slow(item.path), item.nodeid
