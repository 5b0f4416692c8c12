"""Folders of image files: ``DIR/CLASS/*``, or ``DIR/train/CLASS/*`` beside ``DIR/val`` or ``DIR/test`` or both.

Lists the same files as torchvision's ``ImageFolder``, except hidden ones. It is not used because the web process checks
folders without torch, and because it sorts numeric classes as text ("10" before "2").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from trainers.data.split import (
    MAX_BYTES,
    Images,
    Labels,
    Pixels,
    SplitNumbers,
    prepare_splits,
    split_in_three,
    split_in_two,
)
from trainers.recipe import RecipeError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
HELD_OUT = 0.1  # of the training split, for validation
LAYOUT = "DIR/CLASS/*, or DIR/train/CLASS/* with DIR/val/CLASS/* or DIR/test/CLASS/* or both"
SPLITS = {"train", "val", "test"}
CHUNK = 64  # images per task of the thread pool


@dataclass(frozen=True, kw_only=True)
class Files:
    """Labelled image files of one split, in two arrays that processes can share even for 1.3 million files."""

    root: str
    names: Any  #: paths under `root`, one bytes array; a list of strings would be copied into every process
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, row: int) -> str:
        """Return the path of one image."""
        return os.path.join(self.root, os.fsdecode(self.names[row]))

    def rows(self, chosen: Labels | slice) -> Files:
        """Return a subset of the files."""
        return replace(self, names=self.names[chosen], labels=self.labels[chosen])


def load(numbers: SplitNumbers, path: str, size: int) -> Images:
    """Read a folder's images as uint8 ``(N, size, size, 3)``, or ``(N, size, size)`` if all are greyscale.

    Resizes the shorter side to ``size`` pixels (bilinear with antialias) and crops the centre.

    Raises:
        RecipeError: if the layout is wrong, the images do not fit in memory, or one cannot be read.
    """
    planned = _plan(numbers, path, size)
    train_x, train_grey = _decode(path, planned.train_x, size)
    validation_x, validation_grey = _decode(path, planned.validation_x, size)
    test_x, test_grey = _decode(path, planned.test_x, size)
    if train_grey and validation_grey and test_grey:
        train_x, validation_x, test_x = (x[..., 0].copy() for x in (train_x, validation_x, test_x))
    return replace(planned, train_x=train_x, validation_x=validation_x, test_x=test_x)


def check(numbers: SplitNumbers, path: str, size: int) -> None:
    """Check a folder like :func:`load`, without decoding its images."""
    _plan(numbers, path, size)


def list_classes(path: str) -> list[str]:
    """Return the class folders in label order: sorted as numbers if all are, else as text."""
    names = [entry.name for entry in os.scandir(path) if entry.is_dir() and entry.name[0] != "."]
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def list_files(path: str, classes: Sequence[str]) -> Files:
    """List the images of each class folder in turn, sorted as text.

    Raises:
        RecipeError: naming the classes without an image.
    """
    names: list[bytes] = []
    counts = []
    for name in classes:
        before = len(names)
        names.extend(map(os.fsencode, _images_below(path, name)))
        counts.append(len(names) - before)
    if empty := [name for name, count in zip(classes, counts, strict=True) if not count]:
        raise RecipeError(
            f"every class folder must hold an image ({', '.join(EXTENSIONS)}): got none in {_first_few(empty)} "
            f"of {path}. Add images or remove the folder."
        )
    return Files(root=path, names=np.array(names), labels=np.repeat(np.arange(len(classes)), counts))


def open_rgb(path: str) -> tuple[Image.Image, bool]:
    """Decode an image file to RGB; also return whether it is greyscale.

    Raises:
        RecipeError: naming the file.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            if mode[0] in "IF":  # PIL would clip 16-bit pixels to 8 bits, nearly all to white
                raise ValueError(f"pixels of mode {mode}, not of 8 bits")
            if "transparency" in image.info:
                return image.convert("RGBA").convert("RGB"), False  # PIL warns about direct conversion
            return image.convert("RGB"), mode == "L"
    except Exception as error:  # a decoder may raise anything for damaged bytes
        raise RecipeError(
            f"every image must be readable: got {path} ({type(error).__name__}: {error}). Replace or remove the file."
        ) from None


def _plan(numbers: SplitNumbers, path: str, size: int) -> Images:
    """List, split, cap and check a folder before anything is decoded.

    The result holds file names in place of pixels, so that the same code splits and caps both.
    """
    files = _split(numbers, path)
    planned = prepare_splits(files, numbers)
    images = len(planned.train_y) + len(planned.validation_y) + len(planned.test_y)
    if (needed := images * size * size * 3) > MAX_BYTES:
        raise RecipeError(
            f"the images must fit in {MAX_BYTES / 1e9:.0f} GB of memory: got {images} of {size} × {size} × 3 bytes, "
            f"{needed / 1e9:.1f} GB, of {path}. Choose smaller ones (--set image_size=…) or fewer (--set subset=…)."
        )
    return planned


def _split(numbers: SplitNumbers, path: str) -> Images:
    """List a folder's files, in three splits."""
    if not os.path.isdir(path):
        raise RecipeError(f"--data must name an existing folder: got {path}. Give one with {LAYOUT}.")
    found = set(list_classes(path))
    # A data set of vehicles may have a class "train", which holds images instead of class folders.
    if not any(list_classes(os.path.join(path, name)) for name in found & SPLITS):
        files = list_files(path, _at_least_two_classes(path))
        return split_in_three(files.names, files.labels, numbers.split_seed, path)
    if "train" not in found or len(found & SPLITS) < 2 or found - SPLITS:
        raise RecipeError(
            "an image folder in splits has train, and val or test or both, and no other: "
            f"got {_first_few(sorted(found))} in {path}. Give one with {LAYOUT}."
        )
    classes = _at_least_two_classes(os.path.join(path, "train"))
    split = {name: _list_split(path, name, classes) for name in sorted(found)}
    train, test = split["train"], split.get("test") or split["val"]
    if found != SPLITS:
        return split_in_two(
            train.names, train.labels, test.names, test.labels, numbers.split_seed, path, held_out=HELD_OUT
        )
    return Images(
        train_x=train.names,
        train_y=train.labels,
        validation_x=split["val"].names,
        validation_y=split["val"].labels,
        test_x=test.names,
        test_y=test.labels,
        classes=len(classes),
        source=path,
    )


def _at_least_two_classes(path: str) -> list[str]:
    classes = list_classes(path)
    if len(classes) < 2:
        raise RecipeError(
            f"an image folder needs a folder for each of 2 classes or more: got {len(classes)} in {path}. "
            f"Give one with {LAYOUT}."
        )
    return classes


def _list_split(path: str, split: str, classes: list[str]) -> Files:
    """List a split, with names relative to ``path``; its classes must be those of the training split."""
    root = os.path.join(path, split)
    check_classes(root, list_classes(root), classes)
    files = list_files(root, classes)
    return Files(root=path, names=np.char.add(os.fsencode(split + os.sep), files.names), labels=files.labels)


def check_classes(path: str, got: Iterable[str], classes: Iterable[str]) -> None:
    """Check that a split has the class folders of the training split."""
    extra, missing = sorted(set(got) - set(classes)), sorted(set(classes) - set(got))
    if extra or missing:
        raise RecipeError(
            f"every split must have the class folders of train: got {len(extra)} more ({_first_few(extra)}) and "
            f"{len(missing)} fewer ({_first_few(missing)}) in {path}. Rename, add or remove folders."
        )


def _first_few(names: Sequence[str], most: int = 5) -> str:
    """Join the first few names."""
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])]) or "none"


def _images_below(root: str, folder: str) -> list[str]:
    """List all images below a folder, relative to ``root``, in torchvision's order."""
    found: list[tuple[str, str]] = []
    visited: set[str] = set()  # a link to a parent folder would be followed forever
    for parent, folders, files in os.walk(os.path.join(root, folder), followlinks=True):
        if (real := os.path.realpath(parent)) in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if name[0] != "."]
        inside = os.path.relpath(parent, root)
        found += [(inside, name) for name in files if name.lower().endswith(EXTENSIONS) and name[0] != "."]
    return [os.path.join(*names) for names in sorted(found)]


def _decode(path: str, names: Any, size: int) -> tuple[Pixels, bool]:
    """Decode files to ``(N, size, size, 3)``; also return whether all are greyscale."""
    pixels = np.empty((len(names), size, size, 3), np.uint8)

    def fill(start: int) -> bool:
        grey = True
        for row in range(start, min(start + CHUNK, len(names))):
            image, is_grey = open_rgb(os.path.join(path, os.fsdecode(names[row])))
            pixels[row] = np.asarray(resize_and_crop(image, size, size))
            grey &= is_grey
        return grey

    # Decoding and resizing release the GIL, and all threads write into one array.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return pixels, all(list(pool.map(fill, range(0, len(names), CHUNK))))


def resize_and_crop(image: Image.Image, shorter: int, size: int) -> Image.Image:
    """Resize the shorter side, bilinear with antialias, and crop the centre; rounded as torchvision does."""
    height, width = resized_shape(*image.size, shorter)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def resized_shape(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Return the height and width that give the shorter side ``shorter`` pixels."""
    short = min(width, height)
    return int(shorter * height / short), int(shorter * width / short)
