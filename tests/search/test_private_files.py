"""What other users of the host may do with our folders and files: nothing."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.private_files import (
    close_to_others,
    create_privately,
    make_private_file,
    make_private_folder,
    make_private_home,
    require_home,
)
from search.vocabulary.errors import StoreUnavailable


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Have what is created be open to everybody, unless it is closed on purpose."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_new_home_and_what_is_in_it_are_closed(tmp_path: Path) -> None:
    home = tmp_path / "somewhere" / "home"
    make_private_home(home, chosen=True)
    make_private_file(home / "file")
    found = [rights(path) for path in (home.parent, home, home / "searches", home / "file")]
    assert found == [0o700, 0o700, 0o700, 0o600]


@pytest.mark.parametrize(("before", "after"), [(0o755, 0o700), (0o777, 0o770), (0o775, 0o770), (0o700, 0o700)])
def test_a_default_home_of_before_is_closed_but_to_a_group_that_writes(
    before: int, after: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(before)
    make_private_home(tmp_path, chosen=False)
    assert rights(tmp_path) == after
    assert caplog.messages == []


def test_a_chosen_home_of_before_is_warned_of_and_its_searches_are_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "my home"
    (home / "searches").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        make_private_home(home, chosen=True)
    assert caplog.messages == [
        f"the home folder should be closed to other users of this host: got {home} with rights 755. "
        f"Close it with: chmod o= '{home}'"
    ]
    assert (rights(home), rights(home / "searches")) == (0o755, 0o700)


def test_files_keep_their_content_and_lose_the_rights_of_others(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    make_private_file(tmp_path / "file")
    assert rights(tmp_path / "file") == 0o600
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_in_the_place_of_a_file_or_a_parent_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_file(tmp_path)
    make_private_folder(tmp_path)
    make_private_folder(tmp_path / "new")
    assert (rights(tmp_path), rights(tmp_path / "new")) == (0o755, 0o700)
    close_to_others(tmp_path / "gone")


@pytest.mark.parametrize(("umask", "file"), [(0o022, 0o600), (0o000, 0o660), (0o002, 0o660), (0o077, 0o600)])
def test_a_process_creates_files_for_its_user_and_a_group_that_may_write(umask: int, file: int, tmp_path: Path) -> None:
    os.umask(umask)
    create_privately()
    (tmp_path / "file").touch()
    (tmp_path / "deep" / "folder").mkdir(parents=True)
    assert rights(tmp_path / "file") == file
    assert rights(tmp_path / "deep") & 0o007 == 0


def test_a_home_that_can_be_written_or_created_is_taken_and_not_created(tmp_path: Path) -> None:
    for home in (tmp_path, tmp_path / "new", tmp_path / "new" / "deeper"):
        require_home(home)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_refused_with_what_is_in_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for home, found, why in (
        (tmp_path / "file", tmp_path / "file", "is not a folder"),
        (tmp_path / "file" / "home", tmp_path / "file", "is not a folder"),
        (tmp_path / "link", tmp_path / "link", "is not a folder"),
        (tmp_path / "closed" / "home", tmp_path, "cannot be written"),
    ):
        if home.parent.name == "closed":
            monkeypatch.setattr(os, "access", lambda *_: False)  # as for any user but this one, who may be root
        with pytest.raises(StoreUnavailable) as refused:
            require_home(home)
        assert str(refused.value) == (
            f"the home folder must be writable: got {home}, where {found} {why}. "
            "Name another with --home DIR or SEQNORM_HOME."
        )
