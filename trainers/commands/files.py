"""The files in ``HOME/recipes``: which there are, and reading one that nobody but its owner could have written.

A file describes a command that trials run as the worker's user, so it is code: it must belong to that user, to root or
to the owner of the home folder, and the host's other users must not be able to write it. A group that may was let in
on purpose, as everywhere in a home. Links are followed; the rules hold for what they lead to.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path
from typing import NoReturn

from trainers.recipe import RecipeError

FOLDER = "recipes"  # of a home folder
SUFFIX = ".toml"
MAX_BYTES = 65_536
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # no dots: train.py is the name of a script's recipe
RESERVED = ("check", "show")  # words that follow `seqnorm recipes`


class RecipeFileError(RecipeError):
    """A file cannot be used as a recipe; the message names the file, rule, received value and remedy."""


def find_file(home: Path, name: str) -> Path:
    """Return the path of the file that describes a recipe."""
    return home / FOLDER / f"{name}{SUFFIX}"


def is_name(name: str) -> bool:
    """Return whether a recipe may have a name."""
    return bool(NAME.fullmatch(name)) and name not in RESERVED


def list_names(home: Path) -> list[str]:
    """Return the names of the files, whether they can be used or not; hidden ones are left out.

    Raises:
        RecipeFileError: if the folder cannot be read.
    """
    folder = home / FOLDER
    try:
        found = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RecipeFileError(
            f"the folder of recipes must be readable: got {folder} ({error.strerror}). "
            f"Let this user read it: {_chmod('u+rx', folder)}"
        ) from None
    return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX) and not name.startswith("."))


def read_file(home: Path, name: str) -> str:
    """Return the text of a file.

    Raises:
        RecipeFileError: if it is no small text file, or somebody else could have written it.
    """
    if not is_name(name):
        refuse_name(home, name, f"must be 1 to 64 letters, digits, - and _, other than {' and '.join(RESERVED)}")
    path = find_file(home, name)
    try:
        owners = {0, os.geteuid(), os.stat(home).st_uid}
        for each in (path.parent, path):  # which may be links
            require_owner(each, os.lstat(each), owners)
        require_trusted(path.parent, os.stat(path.parent), owners)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would wait for a writer
    except OSError as error:
        raise RecipeFileError(
            f"{path}: a recipe's file must be readable: got {error.strerror}. {_remedy(path)}"
        ) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise RecipeFileError(f"{path}: a recipe must be a file: got something else. Remove or rename it.")
        require_trusted(path, found, owners)
        content = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise RecipeFileError(
            f"{path}: a recipe's file must have at most {MAX_BYTES} bytes: got {max(found.st_size, len(content))}. "
            "Move what is long into a script."
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RecipeFileError(
            f"{path}, line {line}: a recipe's file must be UTF-8: got the byte 0x{content[error.start]:02x}. "
            "Save it as UTF-8."
        ) from None


def refuse_name(home: Path, name: str, rule: str) -> NoReturn:
    """Raise that a file has a name that no recipe may have.

    Raises:
        RecipeFileError: with the rule.
    """
    raise RecipeFileError(f"{find_file(home, name)}: the name of a recipe {rule}: got {name}. Rename the file.")


def require_trusted(path: Path, found: os.stat_result, owners: set[int]) -> None:
    """Check that a file or folder, whose commands are run, can only be written by whom it should."""
    require_owner(path, found, owners)
    if found.st_mode & stat.S_IWOTH:
        raise RecipeFileError(
            f"{path}: what names a command to run must not be writable for the host's other users: "
            f"got rights {stat.S_IMODE(found.st_mode):o}. Close it with: {_chmod('o-w', path)}"
        )


def require_owner(path: Path, found: os.stat_result, owners: set[int]) -> None:
    """Check that a file, folder or link belongs to one of several users."""
    if found.st_uid not in owners:
        raise RecipeFileError(
            f"{path}: what names a command to run must belong to this user, to root or to the owner of the home "
            f"folder: got the owner {found.st_uid}, where this user is {os.geteuid()}. "
            f"Change it with: chown {os.geteuid()} {shlex.quote(str(path))}"
        )


def _chmod(change: str, path: Path) -> str:
    return f"chmod {change} {shlex.quote(str(path))}"


def _remedy(path: Path) -> str:
    return "Mend the link, or remove it." if path.is_symlink() else f"Let this user read it: {_chmod('u+r', path)}"
