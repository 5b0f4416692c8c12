"""Images in one ``.npz`` file: ``x`` uint8 ``[N,H,W]`` or ``[N,H,W,C]``, ``y`` integers ``[N]``. Never unpickled.

What a file declares is checked against the bytes that it holds before anything is read, so that neither a lying header
nor a small file that unpacks to gigabytes takes memory.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from trainers.data.remedies import (
    Range,
    channels_are_first,
    describe_members,
    fix_classes,
    fix_images,
    fix_labels,
    fix_members,
)
from trainers.data.split import MAX_BYTES, Labels, Pixels
from trainers.recipe import RecipeError

FORM = "x uint8 [N,H,W] or [N,H,W,C] and y integers [N], e.g. numpy.savez(file, x=x, y=y)"
MAX_LABEL_BYTES = 10**9
VERIFIED_BYTES = 2**26  # of the pixels are unpacked by a check, to find damage early
HEADER_BYTES = 2**14  # more than numpy accepts
CHUNK = 2**20


@dataclass(frozen=True)
class Member:
    """An array in a file, of which only the header is read."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: Any
    start: int  #: bytes of the header

    def read(self) -> Any:
        """Read the array; its bytes were compared with its shape."""
        with self.archive.open(self.info.filename) as stream:
            return npy.read_array(stream, allow_pickle=False)

    def verify(self, most: int) -> None:
        """Unpack up to ``most`` bytes without keeping them; damage raises an exception."""
        with self.archive.open(self.info.filename) as stream:
            while most > 0 and (chunk := stream.read(CHUNK)):
                most -= len(chunk)

    def survey(self) -> Range:
        """Return the range of the first 64 MB of numbers."""
        found = Range()
        with self.archive.open(self.info.filename) as stream:
            stream.read(self.start)
            for _ in range(VERIFIED_BYTES // CHUNK):
                chunk = stream.read(CHUNK)
                if not (whole := len(chunk) // self.dtype.itemsize):
                    break
                found = found.widen(np.frombuffer(chunk, self.dtype, whole))
        return found


def read(path: str | Path) -> tuple[Pixels, Labels]:
    """Read and check a file.

    Raises:
        RecipeError: if the file is missing or does not have this form.
    """
    with _open(path) as (x, y):
        labels = _read_labels(path, x, y)
        return x.read(), labels


def read_labels(path: str | Path) -> tuple[Labels, tuple[int, ...]]:
    """Check a file like :func:`read`; return its labels and the shape of an image. Takes the memory of the labels.

    Raises:
        RecipeError: as :func:`read` does, except that damage after the first 64 MB of images is not found.
    """
    with _open(path) as (x, y):
        labels = _read_labels(path, x, y)
        x.verify(VERIFIED_BYTES)
        return labels, x.shape[1:]


@contextmanager
def _open(path: str | Path) -> Iterator[tuple[Member, Member]]:
    """Open a file; yield its images and labels. Whatever zipfile and numpy raise becomes a RecipeError."""
    if not Path(path).is_file():
        raise RecipeError(f"--data must name an existing .npz file: got {path}. Give one with {FORM}.")
    try:
        with Path(path).open("rb") as file:
            if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
                raise ValueError("a single array")
            with zipfile.ZipFile(file) as archive:
                yield _find(archive, "x"), _find(archive, "y")
    except RecipeError:
        raise
    except Exception as error:  # decoders raise anything for damaged bytes, NotImplementedError and MemoryError too
        reason = str(error) or type(error).__name__
        raise RecipeError(f"--data must be an .npz file without pickles: got {path} ({reason}). Give {FORM}.") from None


def _find(archive: zipfile.ZipFile, name: str) -> Member:
    """Read the header of an array; check that its shape fits its bytes."""
    found = [member for member in (f"{name}.npy", name) if member in archive.namelist()]
    if not found:
        raise RecipeError(
            f"an .npz file of images must hold x and y: got {describe_members(archive.namelist())} in "
            f"{archive.filename}. {fix_members(archive.namelist()) or f'Give {FORM}.'}"
        )
    info = archive.getinfo(found[0])
    with archive.open(info.filename) as stream:
        start = io.BytesIO(stream.read(HEADER_BYTES))
    if start.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
        raise ValueError(f"its {name} is not an array")
    start.seek(0)
    version = npy.read_magic(start)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"its {name} is an array of version {version[0]}.{version[1]}")
    try:
        shape, _, dtype = read_header(start)
    except Exception:  # of Python's own parser too: RecursionError, MemoryError
        raise ValueError(f"its {name} does not have a header that numpy reads") from None
    declared = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and (min(shape, default=0) < 0 or declared != info.file_size - start.tell()):
        raise ValueError(
            f"its {name} declares {list(shape)} of {dtype}, {declared} bytes, and has {info.file_size - start.tell()}"
        )
    return Member(archive, info, shape, dtype, start.tell())


def _read_labels(path: str | Path, x: Member, y: Member) -> Labels:
    """Check what both members declare, then read and check the labels."""
    if channels_are_first(x.shape):
        height, width, channels = x.shape[1:]
        raise RecipeError(
            f"x must be [N,H,W,C], its channels last: got {x.dtype} {list(x.shape)} in {path}, which is {channels} "
            f"channels of {height} × {width}. {_fix_images(x)}"
        )
    if x.dtype != np.uint8 or len(x.shape) not in (3, 4) or 0 in x.shape[1:]:
        raise RecipeError(
            f"x must be uint8 [N,H,W] or [N,H,W,C]: got {x.dtype} {list(x.shape)} in {path}. {_fix_images(x)}"
        )
    for name, member, most in (("x", x, MAX_BYTES), ("y", y, MAX_LABEL_BYTES)):
        if member.info.file_size > most:
            raise RecipeError(
                f"{name} must have at most {most / 1e9:.0f} GB: got {member.info.file_size / 1e9:.1f} GB in {path}. "
                "Give fewer or smaller images."
            )
    if not np.issubdtype(y.dtype, np.integer) or y.shape != x.shape[:1]:
        fractions = y.read() if y.dtype.kind == "f" else None
        raise RecipeError(
            f"y must be one integer per image: got {y.dtype} {list(y.shape)} for {x.shape[0]} images in {path}. "
            f"{fix_labels(y.shape, y.dtype, x.shape, fractions) or f'Give {FORM}.'}"
        )
    labels: Labels = y.read().astype(np.int64)
    found = np.unique(labels)
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        raise RecipeError(
            f"y must hold every label from 0 to the last, of 2 classes or more: got {found[:5]} in {path}. "
            f"{fix_classes(found) or f'Give {FORM}.'}"
        )
    return labels


def _fix_images(x: Member) -> str:
    return fix_images(x.shape, x.dtype, x.survey() if x.dtype.kind in "iuf" else Range()) or f"Give {FORM}."
