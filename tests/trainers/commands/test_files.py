"""Which files describe recipes, and that only those who may could have written them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainers.commands.files import MAX_BYTES, RecipeFileError, find_file, list_names, read_file, require_trusted

TEXT = 'command = "sh train.sh {gm}"\n'
OTHER = 4711  # a user who is neither this one nor root


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one recipe, whatever the umask."""
    (tmp_path / "recipes").mkdir(mode=0o755)
    find_file(tmp_path, "mine").write_text(TEXT)
    return tmp_path


def refused(home: Path, name: str = "mine") -> str:
    """Return the message without the path that it begins with."""
    with pytest.raises(RecipeFileError) as caught:
        read_file(home, name)
    return str(caught.value).replace(str(home), "HOME")


def test_files_are_listed_by_name_and_others_beside_them_are_not(home: Path) -> None:
    for name in ("yours.toml", "train.py", "notes.txt", ".hidden.toml", "mine.toml~"):
        (home / "recipes" / name).touch()
    assert list_names(home) == ["mine", "yours"]


def test_without_the_folder_there_are_none(tmp_path: Path) -> None:
    assert list_names(tmp_path) == []
    (tmp_path / "recipes").touch()
    assert list_names(tmp_path) == []


def test_a_file_is_read_through_a_link(home: Path) -> None:
    find_file(home, "linked").symlink_to(find_file(home, "mine"))
    assert read_file(home, "linked") == read_file(home, "mine") == TEXT


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_what_the_hosts_other_users_cannot_write_is_read(mode: int, home: Path) -> None:
    find_file(home, "mine").chmod(mode)
    assert read_file(home, "mine") == TEXT


@pytest.mark.parametrize("place", ["recipes", "recipes/mine.toml"])
def test_what_others_can_write_is_refused_and_mended_by_what_is_advised(place: str, home: Path) -> None:
    path = home / place
    path.chmod(path.stat().st_mode | 0o002)
    said = refused(home)
    assert said == (
        f"HOME/{place}: what names a command to run must not be writable for the host's other users: "
        f"got rights {path.stat().st_mode & 0o777:o}. Close it with: chmod o-w HOME/{place}"
    )
    assert os.system(said.partition("with: ")[2].replace("HOME", str(home))) == 0
    assert read_file(home, "mine") == TEXT


def test_what_belongs_to_none_of_those_who_may_is_refused(home: Path) -> None:
    path = find_file(home, "mine")
    require_trusted(path, path.stat(), {path.stat().st_uid})
    with pytest.raises(RecipeFileError) as caught:
        require_trusted(path, path.stat(), {OTHER})
    assert str(caught.value) == (
        f"{path}: what names a command to run must belong to this user, to root or to the owner of the home folder: "
        f"got the owner {path.stat().st_uid}, where this user is {os.geteuid()}. "
        f"Change it with: chown {os.geteuid()} {path}"
    )


@pytest.mark.parametrize("place", ["recipes", "recipes/mine.toml"])
def test_a_link_that_somebody_else_has_put_there_is_refused(
    place: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat, link = os.lstat, home / place
    found = lstat(link)

    def lstat_of_others(path: Path) -> os.stat_result:
        return os.stat_result([*found[:4], OTHER, *found[5:]]) if path == link else lstat(path)

    monkeypatch.setattr(os, "lstat", lstat_of_others)  # only root can give a link to somebody else
    assert f"got the owner {OTHER}, where this user is" in refused(home)


def test_names_that_a_shell_or_another_command_would_take_are_refused(home: Path) -> None:
    for name in ("a b", "train.py", "-x", "check", "show", "é"):
        find_file(home, name).write_text(TEXT)
        assert refused(home, name) == (
            f"HOME/recipes/{name}.toml: the name of a recipe must be 1 to 64 letters, digits, - and _, other than "
            f"check and show: got {name}. Rename the file."
        )


def test_what_is_no_file_is_refused_without_waiting_for_it(home: Path) -> None:
    os.mkfifo(find_file(home, "pipe"))
    find_file(home, "folder").mkdir()
    for name in ("pipe", "folder"):
        assert refused(home, name).endswith(": a recipe must be a file: got something else. Remove or rename it.")


def test_a_link_that_leads_nowhere_is_refused(home: Path) -> None:
    find_file(home, "lost").symlink_to(home / "nowhere")
    assert refused(home, "lost") == (
        "HOME/recipes/lost.toml: a recipe's file must be readable: got No such file or directory. "
        "Mend the link, or remove it."
    )


def test_what_is_too_long_is_refused(home: Path) -> None:
    find_file(home, "mine").write_text("#" * MAX_BYTES)
    assert read_file(home, "mine")
    find_file(home, "mine").write_text("#" * (MAX_BYTES + 1))
    assert refused(home).endswith(f"at most {MAX_BYTES} bytes: got {MAX_BYTES + 1}. Move what is long into a script.")


def test_what_is_not_utf_8_is_refused_with_its_line(home: Path) -> None:
    find_file(home, "mine").write_bytes(b'command = "sh"\ntitle = "caf\xe9"\n')
    assert refused(home) == (
        "HOME/recipes/mine.toml, line 2: a recipe's file must be UTF-8: got the byte 0xe9. Save it as UTF-8."
    )
