"""A private Ray gets a folder whose path leaves room for its sockets, and which only its user can enter."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from search.engine import ray_folder
from search.engine.locked_folder import LockedFolder
from search.engine.orphans import remove_folders
from search.engine.ray_folder import PARENT_BYTES, PREFIX, find_parent, variables
from search.vocabulary.errors import RayUnavailable


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a temporary folder with a long path, as batch systems and macOS do."""
    folder = tmp_path / "a folder of one job among many"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_longest_path_of_a_socket_is_what_ray_appends() -> None:
    assert PARENT_BYTES + len(
        f"/{PREFIX}12345678/r/session_2026-11-26_16-00-00_123456_1234567/sockets/plasma_store"
    ) in (
        103,
        107,
    )


def test_a_short_temporary_folder_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert find_parent() == Path("/var/tmp")


def test_instead_of_a_long_one_a_short_one_is_taken_and_made_ours_alone(temporary: Path) -> None:
    folder = LockedFolder(find_parent(), PREFIX)
    try:
        assert folder.path.parent == Path("/tmp")
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    finally:
        folder.remove()


def test_trials_get_another_temporary_folder_where_theirs_is_too_long_for_pythons_own_sockets(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = ray_folder.SOCKET_BYTES - len("/pymp-12345678/listener-12345678")
    monkeypatch.setattr(tempfile, "tempdir", "/scratch/".ljust(longest, "x"))
    assert variables() == {}
    monkeypatch.setattr(tempfile, "tempdir", "/scratch/".ljust(longest + 1, "x"))
    assert variables() == {"TMPDIR": "/tmp"}


def test_bytes_count_not_characters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fits = tmp_path / "fits"
    fits.mkdir()
    monkeypatch.setattr(ray_folder, "PARENT_BYTES", len(str(fits)))
    monkeypatch.setattr(tempfile, "tempdir", str(fits))
    assert find_parent() == fits
    longer = tmp_path / "füts"  # as many characters
    longer.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(longer))
    assert find_parent() == Path("/tmp") or len(str(tmp_path)) < 4


def test_where_no_short_folder_is_the_remedy_is_said(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_folder, "SHORT_FOLDERS", ("/nowhere", "/proc/1/nowhere"))
    with pytest.raises(RayUnavailable) as refused:
        find_parent()
    assert str(refused.value) == (
        f"a private Ray must have a temporary folder with a path of at most {PARENT_BYTES} bytes, as paths of sockets "
        f"are short: got {temporary}, and none of /nowhere, /proc/1/nowhere can be written. "
        "Set TMPDIR to such a folder."
    )


def test_where_no_temporary_folder_is_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(
        RayUnavailable, match=r"got none that can be written\. Set TMPDIR to a folder with a path of at"
    ):
        find_parent()
    remove_folders(Path("/nowhere"))  # and cleaning up says nothing


def test_a_folder_that_a_driver_left_in_another_place_is_removed(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(ray_folder, "SHORT_FOLDERS", (str(other),))
    left = LockedFolder(other, PREFIX)
    remove_folders(tmp_path)
    assert left.path.exists()  # its driver lives
    left.remove()
    dead = other / f"{PREFIX}dead"
    dead.mkdir()
    (dead / "lock").touch()
    remove_folders(tmp_path)
    assert not dead.exists()
