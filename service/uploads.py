"""Data sets that are uploaded: received into a private folder, checked, and moved into place beside it.

Nothing else is written, and the private folder is removed whatever happens: by the request, or, if its process was
killed, by the next upload or start.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool

from search.engine.locked_folder import LockedFolder, remove_unlocked
from search.plan.spec import NAME
from search.private_files import make_private_folder
from search.settings import Settings
from search.views import DataSetKind, DataSetView
from search.vocabulary.errors import Conflict, Denied, InvalidSpec, StoreUnavailable, TooLarge, TooSlow
from service.open_responses import OpenResponses
from trainers.recipe import RecipeError
from trainers.unpacking import ARCHIVE, MAGIC, SUFFIXES, NoRoom, Unpacked, unpack

MAX_UPLOADS, MAX_UPLOADS_OF_TOKEN = 8, 2
UNPACKED_AT_ONCE = 2
PIECE_SECONDS = 30.0  # for the next piece of a file
WHOLE_SECONDS = 3600.0  # for all of a file
WRITE_BYTES = 2**20  # of a file that are collected before they are written
FREE_BYTES = 2**30  # that an upload leaves on the disk for searches and their database
PREFIX = ".upload-"  # no data set's name begins with a point


class Uploads:
    """The open uploads of a service, and how many are unpacked at once. Lives on the server's event loop."""

    def __init__(self) -> None:
        self.open = OpenResponses("uploads", MAX_UPLOADS_OF_TOKEN, MAX_UPLOADS).open
        self.turn_to_unpack = asyncio.Semaphore(UNPACKED_AT_ONCE)


class Upload:
    """A file on its way to become a data set.

    Args:
        folder: of the data sets that were uploaded.
        name: ``NAME.npz`` or ``NAME.zip``.
        most_bytes: that the file may have.
        announced_bytes: that the client says it has, if it does.
        other_folders: of data sets whose names are taken too.

    Raises:
        InvalidSpec: if no data set can have the name.
        Conflict: if one has it.
        TooLarge: if the file is announced as larger.
        StoreUnavailable: if it would fill the disk.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        most_bytes: int,
        announced_bytes: int = 0,
        other_folders: Sequence[Path] = (),
    ) -> None:
        self._most_bytes = most_bytes
        self._name = name
        self._target = folder / _get_data_set(name)
        self._other_folders = other_folders
        self._require_free_name()
        self._require_size(announced_bytes)
        try:
            make_private_folder(folder)
            _require_room(folder, announced_bytes)
            remove_unlocked(folder, PREFIX)
            self._own = LockedFolder(folder, PREFIX)
        except OSError as error:
            raise _unwritable(error) from None

    async def receive(self, pieces: AsyncIterator[bytes]) -> None:
        """Write the file as it arrives.

        Raises:
            InvalidSpec: if it is of another kind.
            TooLarge: if it is too large.
            TooSlow: if it does not arrive in time.
            StoreUnavailable: if it cannot be written, or would fill the disk.
        """
        try:
            with self._file.open("xb") as file:
                async with asyncio.timeout(WHOLE_SECONDS):
                    await self._write(pieces, file)
        except TimeoutError:
            raise TooSlow(
                f"a file must arrive within {WHOLE_SECONDS:g} s, and each piece of it within {PIECE_SECONDS:g} s: got "
                f"a part of {self._name}. Send it again."
            ) from None
        except OSError as error:
            raise _unwritable(error) from None

    async def _write(self, pieces: AsyncIterator[bytes], file: BinaryIO) -> None:
        collected, received, start = bytearray(), 0, b""
        ended = False
        while not ended:
            async with asyncio.timeout(PIECE_SECONDS):
                piece = await anext(pieces, b"")
            ended = not piece
            collected += piece
            received += len(piece)
            self._require_size(received)
            start = start or bytes(collected[: len(MAGIC)] if ended or len(collected) >= len(MAGIC) else b"")
            if (ended or start) and start != MAGIC:
                raise InvalidSpec(
                    f"a data set must be an .npz file or a .zip of class folders: got something else in {self._name}. "
                    "Send the file itself as the body, e.g. with curl --data-binary @FILE."
                )
            if ended or len(collected) >= WRITE_BYTES:
                await run_in_threadpool(self._append, file, bytes(collected))
                collected.clear()

    def _append(self, file: BinaryIO, piece: bytes) -> None:
        _require_room(self._own.path, len(piece))  # no length was announced, or others took the room
        file.write(piece)

    def unpack(self) -> Unpacked:
        """Check what was received, in a child process; unpack it if it is an archive.

        Raises:
            InvalidSpec: if it is not a data set.
            StoreUnavailable: if its files would fill the disk.
        """
        try:
            return unpack(self._file, self._name, self._most_bytes, FREE_BYTES)
        except NoRoom as error:
            raise StoreUnavailable(str(error)) from None
        except RecipeError as error:
            raise InvalidSpec(str(error)) from None

    def place(self, unpacked: Unpacked) -> DataSetView:
        """Move the data set into place, at once and whole.

        Raises:
            Conflict: if another one has its name by now.
            StoreUnavailable: if it cannot be moved.
        """
        is_folder = unpacked.path != self._file
        try:
            if is_folder:
                os.rename(unpacked.path, self._target)  # refused if there is a file, or a folder that is not empty
            else:
                os.link(unpacked.path, self._target)  # refused if there is anything, unlike a rename
        except OSError as error:
            self._require_free_name()
            raise _unwritable(error) from None
        kind = DataSetKind.FOLDER if is_folder else DataSetKind.ARRAYS
        return DataSetView(name=self._target.name, kind=kind, size=unpacked.size, classes=unpacked.classes)

    def take_back(self) -> None:
        """Undo :meth:`place`."""
        os.rename(self._target, self._own.path / "taken back")

    def remove(self) -> None:
        """Remove what is not in place."""
        self._own.remove()

    @property
    def _file(self) -> Path:
        return self._own.path / "received"

    def _require_free_name(self) -> None:
        name = self._target.name
        if os.path.lexists(self._target) or any(os.path.lexists(folder / name) for folder in self._other_folders):
            raise Conflict(f"the name of a data set must be free: got {name!r}, which is there already. Give another.")

    def _require_size(self, received: int) -> None:
        if received > self._most_bytes:
            raise TooLarge(
                f"a data set may have at most {self._most_bytes / 1e9:g} GB: got more in {self._name}. Send fewer or "
                "smaller images, or have the operator put it into the data folder (SEQNORM_MAX_UPLOAD_GB)."
            )


def remove_leftovers(folder: Path) -> None:
    """Remove what uploads of processes that were killed left in the folder of the data sets."""
    remove_unlocked(folder, PREFIX)


def require_uploads(settings: Settings) -> int:
    """Return how many bytes an upload may have.

    Raises:
        Denied: if the operator allows none.
    """
    if not settings.max_upload_gb:
        raise Denied(
            "this service takes no uploads: got one. Have the operator put the data set into the data folder, or set "
            "SEQNORM_MAX_UPLOAD_GB."
        )
    return int(settings.max_upload_gb * 1e9)


def _get_data_set(name: str) -> str:
    """Return the name of the data set that a file becomes."""
    found = name.removesuffix(ARCHIVE)
    if not name.endswith(SUFFIXES) or not re.fullmatch(NAME, found):
        raise InvalidSpec(
            "the name of an upload must be NAME.npz or NAME.zip, of 1 to 64 letters, digits, points, underscores and "
            f"hyphens, a letter or digit first: got {name[:100]!r}. Give e.g. flowers.zip."
        )
    return found


def _require_room(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size + FREE_BYTES:
        raise StoreUnavailable(
            f"an upload must leave {FREE_BYTES / 1e9:.1f} GB of the disk free: got too little room. "
            "Ask the operator of this service to make some."
        )


def _unwritable(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the data folder must be writable and have room: got {error.strerror or type(error).__name__}. "
        "Ask the operator of this service."
    )
