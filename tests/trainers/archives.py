"""Archives of images, good and bad, for tests."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterable

import numpy as np
from PIL import Image

IMAGES = 10  # of each class; enough for every split


def image() -> bytes:
    """Return a small PNG."""
    Image.new("RGB", (8, 8), "red").save(content := io.BytesIO(), "PNG")
    return content.getvalue()


def class_folders(
    prefix: str = "", classes: Iterable[str] = ("rose", "tulip"), count: int = IMAGES
) -> dict[str, bytes]:
    """Return the files of class folders, by their paths."""
    content = image()
    return {f"{prefix}{name}/{number}.png": content for name in classes for number in range(count)}


def pack(files: dict[str, bytes], *more: zipfile.ZipInfo, method: int = zipfile.ZIP_STORED) -> bytes:
    """Pack files; ``more`` members hold the text ``more``."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for member in more:
            archive.writestr(member, b"more")
    return content.getvalue()


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    """Return a member with a kind, as Unix writes it."""
    found = zipfile.ZipInfo(name)
    found.external_attr = mode << 16
    return found


def arrays(count: int = 60) -> bytes:
    """Return an ``.npz`` file of three classes."""
    np.savez(content := io.BytesIO(), x=np.zeros((count, 4, 4), np.uint8), y=np.arange(count) % 3)
    return content.getvalue()
