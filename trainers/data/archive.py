"""Archives of image folders: ``.zip`` files, unpacked into a new folder or refused with the reason.

Names, kinds and sizes are checked for all members before any is written, so an archive that is refused has cost no more
than its table of contents.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.data.listing import is_foreign, is_image
from trainers.recipe import RecipeError

MAX_FILES = 200_000  # and folders
MAX_NAME_BYTES = 255  # of a file or folder, on common file systems
MAX_DEPTH = 32  # folders in folders
CHUNK = 2**20
BLOCK = 2**12  # bytes that the smallest file takes, on common file systems
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
LEFT_OUT = ("thumbs.db", "desktop.ini")  # files of the systems that packed it; hidden ones are left out too
FULL = (errno.ENOSPC, errno.EDQUOT)

Parts = tuple[str, ...]


def unpack(file: Path, folder: Path, name: str, most_bytes: int, left_free: int = 0) -> int:
    """Unpack an archive into a folder that is created; return the bytes of its files.

    A folder that holds everything else in the archive, except files beside it that are not images, is left out, and so
    are those files: packing a folder adds one.

    Args:
        file: the archive.
        folder: where its files go.
        name: what messages call the archive.
        most_bytes: that its files may have together.
        left_free: bytes of the disk that must stay free.

    Raises:
        RecipeError: if it is not an archive of ordinary files, or has too many or too large ones.
        OSError: if there is no room for its files.
    """
    with _open(file, name) as archive:
        members = _strip_outer_folders(_find_files(archive, name, most_bytes))
        _require_room(members.values(), folder.parent, left_free)
        for parts, member in members.items():
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed, target.open("xb") as unpacked:
                while chunk := packed.read(CHUNK):
                    unpacked.write(chunk)
        return sum(member.file_size for member in members.values())


@contextmanager
def _open(file: Path, name: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive. Whatever zipfile and its decoders raise becomes a RecipeError."""
    try:
        with zipfile.ZipFile(file, metadata_encoding="utf-8") as archive:  # else names without a flag are guessed
            yield archive
    except RecipeError:
        raise
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"the names in an archive must be UTF-8: got {bytes(error.object)[:100]!r} in {name}. "
            "Rename the file, or pack the archive with a program that writes UTF-8."
        ) from None
    except Exception as error:  # decoders raise anything for damaged bytes
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        reason = str(error) or type(error).__name__
        raise RecipeError(f"an archive must be an undamaged .zip: got {name} ({reason}). Pack it again.") from None


def _find_files(archive: zipfile.ZipFile, name: str, most_bytes: int) -> dict[Parts, zipfile.ZipInfo]:
    """Return the files to unpack, by the parts of their paths."""
    files: dict[Parts, zipfile.ZipInfo] = {}
    folders: set[Parts] = set()
    left_bytes = most_bytes
    for member in archive.infolist():
        parts = _split(member, name)
        above = parts if _is_folder(member) else parts[:-1]
        if any(map(is_foreign, above)) or (parts and (parts[-1][0] == "." or parts[-1].lower() in LEFT_OUT)):
            continue
        folders.update(above[:depth] for depth in range(1, len(above) + 1))
        if not _is_folder(member):
            _check_kind(member, name)
            if parts in files:
                raise _one_file(parts, name)
            files[parts] = member
            left_bytes -= member.file_size
        if len(files) + len(folders) > MAX_FILES:
            raise RecipeError(
                f"an archive may hold at most {MAX_FILES} files and folders: got more in {name}. Pack fewer."
            )
        if left_bytes < 0:
            raise RecipeError(
                f"the files in an archive may have at most {most_bytes / 1e9:g} GB together, unpacked: got more in "
                f"{name}. Pack fewer or smaller images."
            )
    if twice := files.keys() & folders:
        raise _one_file(min(twice), name)
    if not files:
        raise RecipeError(f"an archive must hold files: got none in {name}. Pack folders of images.")
    return files


def _require_room(members: Iterable[zipfile.ZipInfo], folder: Path, left_free: int) -> None:
    """Raise what the system does when the disk is full, before it is."""
    needed = sum(-(-member.file_size // BLOCK) * BLOCK for member in members)
    if shutil.disk_usage(folder).free < needed + left_free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _split(member: zipfile.ZipInfo, name: str) -> Parts:
    """Split the path of a member; old programs on Windows separate with backslashes."""
    path = member.orig_filename.replace("\\", "/")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts:
        raise RecipeError(
            f"the files in an archive must lie below its own folder: got {path[:200]!r} in {name}. "
            "Pack it with relative names."
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise RecipeError(
            f"the names in an archive must hold no control characters: got {path[:200]!r} in {name}. Rename the file."
        )
    if len(parts) > MAX_DEPTH or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise RecipeError(
            f"the names in an archive may have at most {MAX_NAME_BYTES} bytes each and lie at most {MAX_DEPTH} folders "
            f"deep: got {path[:100]!r}… in {name}. Rename the file."
        )
    return parts


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.orig_filename.endswith(("/", "\\"))


def _check_kind(member: zipfile.ZipInfo, name: str) -> None:
    """Refuse what is not an ordinary file that can be read without a password."""
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 if the archive says nothing of it
    found = "a link" if stat.S_ISLNK(kind) else "a device, pipe or socket" if kind and not stat.S_ISREG(kind) else ""
    if found:
        raise RecipeError(
            f"an archive must hold ordinary files: got {found}, {member.filename[:200]!r}, in {name}. "
            "Pack the files themselves."
        )
    if member.flag_bits & 1:
        raise RecipeError(f"an archive must need no password: got an encrypted {name}. Pack it without one.")
    if member.compress_type not in METHODS:
        raise RecipeError(
            f"an archive must be stored, or compressed with deflate, bzip2 or LZMA: got method {member.compress_type} "
            f"in {name}. Pack it as an ordinary .zip."
        )


def _one_file(parts: Parts, name: str) -> RecipeError:
    return RecipeError(
        f"a name in an archive must stand for one file: got {'/'.join(parts)[:200]!r} twice in {name}. Rename one."
    )


def _strip_outer_folders(files: dict[Parts, zipfile.ZipInfo]) -> dict[Parts, zipfile.ZipInfo]:
    """Return the files below the folders that packing a folder adds: each holds all folders and images, in folders."""
    while True:
        tops = {parts[0] for parts in files if len(parts) > 1 or is_image(parts[0])}
        if len(tops) != 1 or all(len(parts) <= 2 for parts in files):
            return files
        files = {parts[1:]: member for parts, member in files.items() if len(parts) > 1}
