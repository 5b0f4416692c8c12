"""Folders of image files: ``DIR/CLASS/*``, or ``DIR/train/CLASS/*`` beside ``DIR/val`` or ``DIR/test`` or both.

Photos are turned upright. Of alpha only the colours are kept, of several frames the first; CMYK becomes RGB, and pixels
of 16 bits are refused unless PIL reads them as 8.

Lists the same files as torchvision's ``ImageFolder``, except hidden ones. It is not used because the web process checks
folders without torch, and because it sorts numeric classes as text ("10" before "2").
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from trainers.data.layout import LAYOUT, SPLITS, are_flat_splits, find_splits
from trainers.data.listing import EXTENSIONS, LeftOut, Listing, find_alike, first_few, list_folders
from trainers.data.split import (
    MAX_BYTES,
    Images,
    Labels,
    Pixels,
    SplitNumbers,
    describe,
    prepare_splits,
    split_in_three,
    split_in_two,
)
from trainers.recipe import RecipeError

HELD_OUT = 0.1  # of the training split, for validation
CHUNK = 64  # images per task of the thread pool
ALIKE = "differ only in case, spaces, zeros or the form of accents"
SHOWN = 3  # unreadable images that are named


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
    planned, _ = _plan(numbers, path, size)
    train_x, train_grey = _decode(path, planned.train_x, size)
    validation_x, validation_grey = _decode(path, planned.validation_x, size)
    test_x, test_grey = _decode(path, planned.test_x, size)
    if train_grey and validation_grey and test_grey:
        train_x, validation_x, test_x = (x[..., 0].copy() for x in (train_x, validation_x, test_x))
    return replace(planned, train_x=train_x, validation_x=validation_x, test_x=test_x)


def check(numbers: SplitNumbers, path: str, size: int) -> str:
    """Check a folder like :func:`load`, without decoding its images; return what was found, as a sentence."""
    planned, found = _plan(numbers, path, size)
    alike = find_alike(found.classes)
    notes = [
        *found.notes,
        f"{first_few(alike)} {ALIKE}" if alike else "",
    ]
    return describe(planned, found.classes, [*notes, str(found.left_out)])


def list_files(path: str, classes: Sequence[str], listing: Listing | None = None) -> Files:
    """List the images of each class folder in turn, sorted as text.

    Raises:
        RecipeError: naming the classes without an image.
    """
    listing = listing or Listing(path)
    names: list[bytes] = []
    counts = []
    for name in classes:
        before = len(names)
        names.extend(map(os.fsencode, listing.images(path, name)))
        counts.append(len(names) - before)
    if empty := [name for name, count in zip(classes, counts, strict=True) if not count]:
        left_out = f" ({listing.left_out})" if str(listing.left_out) else ""
        raise RecipeError(
            f"every class folder must hold an image ({', '.join(EXTENSIONS)}): got none in {first_few(empty)} "
            f"of {path}{left_out}. Add images or remove the folder."
        )
    return Files(root=path, names=np.array(names), labels=np.repeat(np.arange(len(classes)), counts))


def open_rgb(path: str, upright: bool = False) -> tuple[Image.Image, bool]:
    """Decode an image file to RGB; also return whether it is greyscale.

    Args:
        path: of the file; of several frames the first is taken.
        upright: whether to turn a photo as its EXIF orientation says, which torchvision does not do.

    Raises:
        RecipeError: naming the file.
    """
    try:
        return _open(path, upright)
    except Exception as error:  # a decoder may raise anything for damaged bytes
        raise RecipeError(
            f"every image must be readable: got {_name_unreadable(path, error)}. Replace or remove the file."
        ) from None


def _open(path: str, upright: bool) -> tuple[Image.Image, bool]:
    with Image.open(path) as image:
        mode = image.mode
        if mode[0] in "IF":  # PIL would clip 16-bit pixels to 8 bits, nearly all to white
            raise ValueError(f"pixels of mode {mode}, not of 8 bits")
        turned: Image.Image = image
        if upright:
            image.load()  # what cannot be decoded is not taken for what has no readable orientation
            with contextlib.suppress(Exception):  # metadata may be damaged in as many ways as pixels
                turned = ImageOps.exif_transpose(image)
        if "transparency" in image.info:
            return turned.convert("RGBA").convert("RGB"), False  # PIL warns about direct conversion
        return turned.convert("RGB"), mode == "L"


def _name_unreadable(path: str, error: Exception) -> str:
    return f"{path} ({type(error).__name__}: {error})"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in a folder besides its images."""

    classes: list[str]
    left_out: LeftOut
    notes: list[str]  #: how its folders were read, where they leave a choice


def _plan(numbers: SplitNumbers, path: str, size: int) -> tuple[Images, Found]:
    """List, split, cap and check a folder before anything is decoded.

    The images hold file names in place of pixels, so that the same code splits and caps both.
    """
    files, found = _split(numbers, path)
    planned = prepare_splits(files, numbers)
    images = len(planned.train_y) + len(planned.validation_y) + len(planned.test_y)
    if (needed := images * size * size * 3) > MAX_BYTES:
        raise RecipeError(
            f"the images must fit in {MAX_BYTES / 1e9:.0f} GB of memory: got {images} of {size} × {size} × 3 bytes, "
            f"{needed / 1e9:.1f} GB, of {path}. Choose smaller ones (--set image_size=…) or fewer (--set subset=…)."
        )
    return planned, found


def _split(numbers: SplitNumbers, path: str) -> tuple[Images, Found]:
    """List a folder's files, in three splits."""
    if not os.path.isdir(path):
        raise RecipeError(f"--data must name an existing folder: got {path}. Give one with {LAYOUT}.")
    listing = Listing(path)
    listing.count_outside(path)
    split = find_splits(path)
    if not split:
        classes = _at_least_two_classes(path)
        listing.claim(os.path.join(path, name) for name in classes)
        files = list_files(path, classes, listing)
        notes = [f"{first_few(classes)} hold no class folders and are read as classes"] if are_flat_splits(path) else []
        images = split_in_three(files.names, files.labels, numbers.split_seed, path)
        return images, Found(classes=classes, left_out=listing.left_out, notes=notes)
    classes = _at_least_two_classes(os.path.join(path, split["train"]))
    for folder in split.values():
        listing.count_outside(os.path.join(path, folder))
        check_classes(os.path.join(path, folder), list_folders(os.path.join(path, folder)), classes)
    listing.claim(os.path.join(path, folder, name) for folder in split.values() for name in classes)
    files_of = {name: _list_split(path, folder, classes, listing) for name, folder in split.items()}
    found = Found(classes=classes, left_out=listing.left_out, notes=_name_splits(split))
    train, test = files_of["train"], files_of.get("test") or files_of["val"]
    if len(split) < len(SPLITS):
        images = split_in_two(
            train.names, train.labels, test.names, test.labels, numbers.split_seed, path, held_out=HELD_OUT
        )
        return images, found
    images = Images(
        train_x=train.names,
        train_y=train.labels,
        validation_x=files_of["val"].names,
        validation_y=files_of["val"].labels,
        test_x=test.names,
        test_y=test.labels,
        classes=len(classes),
        source=path,
    )
    return images, found


def _name_splits(split: dict[str, str]) -> list[str]:
    """Return how folders under other names, or one of two, were read."""
    if len(split) == len(SPLITS):
        return [", ".join(f"{folder} is read as {name}" for name, folder in split.items() if folder != name)]
    train, measured = split.values()
    return [f"validation is held out from {train}, and {measured} is the test set"]


def _at_least_two_classes(path: str) -> list[str]:
    classes = list_folders(path)
    if len(classes) < 2:
        below = os.path.join(path, *classes[:1])
        deeper = f"Give {below} instead, or a folder" if classes and len(list_folders(below)) > 1 else "Give one"
        raise RecipeError(
            f"an image folder needs a folder for each of 2 classes or more: got {len(classes)} in {path}. "
            f"{deeper} with {LAYOUT}."
        )
    return classes


def _list_split(path: str, folder: str, classes: list[str], listing: Listing) -> Files:
    """List a split, with names relative to ``path``."""
    files = list_files(os.path.join(path, folder), classes, listing)
    return Files(root=path, names=np.char.add(os.fsencode(folder + os.sep), files.names), labels=files.labels)


def check_classes(path: str, got: Iterable[str], classes: Iterable[str]) -> None:
    """Check that a split has the class folders of the training split."""
    extra, missing = sorted(set(got) - set(classes)), sorted(set(classes) - set(got))
    if extra or missing:
        alike = f" Some {ALIKE}." if find_alike(extra + missing) else ""
        raise RecipeError(
            f"every split must have the class folders of train: got {len(extra)} more ({first_few(extra)}) and "
            f"{len(missing)} fewer ({first_few(missing)}) in {path}.{alike} Rename, add or remove folders."
        )


def _decode(path: str, names: Any, size: int) -> tuple[Pixels, bool]:
    """Decode files to ``(N, size, size, 3)``; also return whether all are greyscale.

    Raises:
        RecipeError: naming the unreadable ones, and how many there are.
    """
    pixels = np.empty((len(names), size, size, 3), np.uint8)
    unreadable: list[str] = []

    def fill(start: int) -> bool:
        grey = True
        for row in range(start, min(start + CHUNK, len(names))):
            file = os.path.join(path, os.fsdecode(names[row]))
            try:
                image, is_grey = _open(file, upright=True)
                pixels[row] = np.asarray(resize_and_crop(image, size, size))
            except Exception as error:  # a decoder may raise anything for damaged bytes
                unreadable.append(_name_unreadable(file, error))
                continue
            grey &= is_grey
        return grey

    # Decoding and resizing release the GIL, and all threads write into one array.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        grey = all(list(pool.map(fill, range(0, len(names), CHUNK))))
    if unreadable:
        many = f"{len(unreadable)} that are not: " if len(unreadable) > 1 else ""
        raise RecipeError(
            f"every image must be readable: got {many}{first_few(sorted(unreadable), SHOWN)}. "
            f"Replace or remove the file{'s' * (len(unreadable) > 1)}."
        )
    return pixels, grey


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
