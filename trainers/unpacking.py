"""Checks a file that somebody sent as a data set, and unpacks an archive, in a child process with limits.

Standard library only; the child imports what reads the data set.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from trainers import inspection
from trainers.data.layout import find_role
from trainers.data.listing import list_folders
from trainers.recipe import RecipeError

ARCHIVE, ARRAYS = ".zip", ".npz"
SUFFIXES = (ARCHIVE, ARRAYS)
MAGIC = b"PK\x03\x04"  # of both


class NoRoom(RecipeError):
    """The disk of the data sets does not have enough room."""


@dataclass(frozen=True)
class Unpacked:
    """A data set, ready to be used."""

    path: Path  #: a file, or a folder
    size: int  #: bytes of its files
    classes: int


def unpack(file: Path, name: str, most_bytes: int, left_free: int = 0) -> Unpacked:
    """Check a file and, if it is an archive, unpack it beside itself.

    Args:
        file: what was sent.
        name: ``NAME.npz`` or ``NAME.zip``; messages have it in place of paths.
        most_bytes: of an archive's files together.
        left_free: bytes of the disk that must stay free.

    Raises:
        RecipeError: if it is not a data set, or its check does not end within the limits.
        NoRoom: if the disk has no room for an archive's files.
    """
    request = {"path": str(file), "name": name, "most_bytes": most_bytes, "left_free": left_free}
    answer = inspection.ask_child(__name__, request)
    if answer is None:
        raise RecipeError(
            f"a data set must be unpacked and checked within {inspection.SECONDS} s and "
            f"{inspection.MEMORY_BYTES / 1e9:.1f} GB of memory: got {name}, whose check did not end. Give fewer files."
        )
    if answer.get("full"):
        raise NoRoom(
            f"the disk of the data sets must have room for all files of an archive: got too little for {name}. "
            "Ask the operator of this service to make some."
        )
    if (refusal := answer.get("refusal")) is not None:
        raise RecipeError(refusal)
    return Unpacked(Path(answer["path"]), answer["size"], answer["classes"])


def main() -> None:
    """Answer the request on stdin, in a child process."""
    request = json.load(sys.stdin)
    inspection.set_limits(file_bytes=request["most_bytes"])
    inspection.answer(lambda: _unpack(**request))


def _unpack(path: str, name: str, most_bytes: int, left_free: int) -> dict[str, object]:
    from trainers.data import archive, remedies

    file, folder = Path(path), Path(path).with_name("unpacked")
    try:
        found = _read(file, folder, name, most_bytes, left_free)
    except RecipeError as error:
        words = str(error).replace(str(folder), name.removesuffix(ARCHIVE)).replace(str(file), name)
        return {"refusal": words.replace(remedies.GIVE_FOLDER, f"name it {name.removesuffix(ARRAYS)}{ARCHIVE}")}
    except Exception as error:
        if isinstance(error, OSError) and error.errno in archive.FULL:
            return {"full": True}
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".rstrip(": ")
        return {"refusal": f"a data set must be readable: got {name} ({reason}). Pack it again."}
    return dataclasses.asdict(found) | {"path": str(found.path)}


def _read(file: Path, folder: Path, name: str, most_bytes: int, left_free: int) -> Unpacked:
    """Check a file as the recipe ``images`` does, with numbers that suit the smallest data set."""
    from trainers.data import archive, own
    from trainers.descriptors.images import OwnNumbers

    numbers = OwnNumbers(batch=1, image_size=8)
    if name.endswith(ARRAYS):
        _, classes = own.check_arrays(numbers, str(file))
        return Unpacked(file, file.stat().st_size, classes)
    size = archive.unpack(file, folder, name, most_bytes, left_free)
    own.check(numbers, str(folder))
    return Unpacked(folder, size, count_classes(folder))


def count_classes(folder: Path) -> int:
    """Count the class folders of an image folder, in splits or not, without looking into them."""
    names = list_folders(str(folder))
    train = [name for name in names if find_role(name) == "train"]
    are_splits = len(train) == 1 < len(names) and all(map(find_role, names))
    return (len(list_folders(str(folder / train[0]))) if are_splits else 0) or len(names)


if __name__ == "__main__":
    main()
