"""CIFAR-10 and CIFAR-100: 45,000 / 5,000 / 10,000 images of 32 × 32 pixels (paper A.3), or the user's own images."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainers.data import own
from trainers.data.fetch import fetch
from trainers.data.own import OwnNumbers
from trainers.data.split import Images, prepare_splits, split_in_two
from trainers.recipe import RecipeError

Classes = Literal[10, 100]

FOLDERS = {10: "cifar-10-batches-py", 100: "cifar-100-python"}
ARCHIVES = {10: "cifar-10-python.tar.gz", 100: "cifar-100-python.tar.gz"}
HELD_OUT = 0.1  # of every class of the 50,000, for validation


def load10(numbers: OwnNumbers, data: str | None, home: Path) -> Images:
    """Return the images of ``data``, else CIFAR-10 below ``home/data``.

    Raises:
        RecipeError: if it is missing or damaged, or ``data`` has the wrong form.
    """
    return _load(10, numbers, data, home)


def load100(numbers: OwnNumbers, data: str | None, home: Path) -> Images:
    """Return the images of ``data``, else CIFAR-100 below ``home/data``; raises like :func:`load10`."""
    return _load(100, numbers, data, home)


def check10(numbers: OwnNumbers, data: str) -> str:
    """Check a file or folder like :func:`load10`, without decoding a folder's images; return what was found."""
    return own.check(numbers, data)


def check100(numbers: OwnNumbers, data: str) -> str:
    """Check a file or folder like :func:`load100`, without decoding a folder's images; return what was found."""
    return own.check(numbers, data)


def identify10(home: Path) -> str:
    """Identify the default data set of :func:`load10`, without reading it."""
    return _identify(10, home)


def identify100(home: Path) -> str:
    """Identify the default data set of :func:`load100`, without reading it."""
    return _identify(100, home)


def download10(home: Path) -> None:
    """Fetch CIFAR-10 (170 MB) below ``home/data`` unless present; a failure raises RecipeError with the cause."""
    _download(10, home)


def download100(home: Path) -> None:
    """Fetch CIFAR-100 (169 MB) below ``home/data`` unless present; a failure raises RecipeError with the cause."""
    _download(100, home)


def _kind(classes: Classes) -> Any:
    """Return torchvision's class, which knows the files' checksums."""
    from torchvision.datasets import CIFAR10, CIFAR100

    return {10: CIFAR10, 100: CIFAR100}[classes]


def _load(classes: Classes, numbers: OwnNumbers, data: str | None, home: Path) -> Images:
    if data:
        return own.read(numbers, data, numbers.image_size)
    folder = home / "data" / FOLDERS[classes]
    if not folder.is_dir():
        raise RecipeError(
            f"CIFAR-{classes} must be at {folder}: got no such folder. Fetch it with --download, unpack "
            f"{ARCHIVES[classes]} in {folder.parent}, or give your own images with --data."
        )
    try:
        train, test = (_read(classes, folder.parent, part) for part in (True, False))
    except RuntimeError:  # from torchvision: a file is missing or has a wrong checksum
        raise RecipeError(
            f"CIFAR-{classes} must be as it was published: got missing or damaged files in {folder}. "
            f"Fetch it again with --download, or unpack {ARCHIVES[classes]} in {folder.parent} again."
        ) from None
    source = f"CIFAR-{classes} under {folder.parent}"
    return prepare_splits(split_in_two(*train, *test, numbers.split_seed, source, held_out=HELD_OUT), numbers)


def _read(classes: Classes, root: Path, train: bool, download: bool = False) -> tuple[Any, Any]:
    """Return pixels and labels; a wrong checksum raises RuntimeError before anything is unpickled."""
    with warnings.catch_warnings():
        # The files were pickled by Python 2, with dtypes that NumPy 2.4.0 to 2.4.4 warn about (numpy issue 30786).
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        part = _kind(classes)(root, train=train, download=download)
    return part.data, np.array(part.targets, np.int64)


def _identify(classes: Classes, home: Path) -> str:
    files = sorted(file for file in (home / "data" / FOLDERS[classes]).glob("*") if file.is_file())
    return f"cifar-{classes} " + " ".join(f"{file.name} {file.stat().st_size}" for file in files) if files else "absent"


def _download(classes: Classes, home: Path) -> None:
    root = home / "data"
    try:
        _read(classes, root, train=True)
    except RuntimeError:
        fetch(
            f"CIFAR-{classes}",
            root,
            FOLDERS[classes],
            archives=(ARCHIVES[classes],),
            download=lambda fresh: _read(classes, fresh, train=True, download=True),
        )
