"""ImageNet as folders of files, too many for memory: ``train/WNID/*``, ``val/WNID/*`` and the three ImageNetV2 sets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainers.data.folder import Files, check_classes, list_files
from trainers.data.listing import list_folders
from trainers.data.split import SplitNumbers, check_batch, subset_rows
from trainers.recipe import RecipeError

VALIDATION = "validation"
V2 = ("imagenetv2-matched-frequency", "imagenetv2-threshold0.7", "imagenetv2-top-images")
SUFFIX = "-format-val"  # appended to folder names by the published archives


class ImageNetNumbers(SplitNumbers, Protocol):
    """The numbers of a recipe that this module uses."""

    @property
    def imagenet_v2(self) -> bool:
        """Whether to test on ImageNetV2's three sets instead of the validation set."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Image files of the training split, the validation split (selection) and the test sets (final measurement)."""

    train: Files
    validation: Files
    tests: Mapping[str, Files]  #: by name; ``validation`` if there is no other
    classes: int
    source: str  #: where the images are, for messages

    def split(self, name: str) -> Files:
        """Return ``validation`` or a test set."""
        return self.validation if name == VALIDATION else self.tests[name]


def load(numbers: ImageNetNumbers, data: str | None, home: Path) -> Folders:
    """List the files below ``data``, else ``home/data/imagenet``, without opening them.

    Raises:
        RecipeError: naming everything that is missing.
    """
    root = data or str(_default(home))
    found = _folders(numbers, root)
    wnids = list_folders(found["train"])
    train, validation, *tests = (
        list_files(folder, wnids if split in ("train", "val") else list_folders(folder))
        for split, folder in found.items()
    )
    folders = Folders(
        train=_subset(train, numbers),
        validation=_subset(validation, numbers),
        tests={name: _subset(files, numbers) for name, files in zip(V2, tests, strict=False)}
        or {VALIDATION: _subset(validation, numbers)},
        classes=len(wnids),
        source=root,
    )
    check_batch(len(folders.train), root, numbers.batch)
    return folders


def check(numbers: ImageNetNumbers, data: str) -> None:
    """Check a folder like :func:`load`, without listing a million files."""
    _folders(numbers, data)
    if numbers.subset:
        check_batch(numbers.subset, data, numbers.batch)


def identify(home: Path) -> str:
    """Identify the classes and sets of the default folder, without listing files."""
    root = str(_default(home))
    names = {name: list_folders(folder) for name in ("train", "val", *V2) if (folder := _folder(root, name))}
    if not names:
        return "absent"
    classes = hashlib.sha256("\n".join(names.get("train", [])).encode()).hexdigest()[:16]
    return " ".join([*(f"{name} {len(found)}" for name, found in names.items()), classes])


def _default(home: Path) -> Path:
    return home / "data" / "imagenet"


def _folder(root: str, name: str) -> str | None:
    """Return a set's folder, with or without the suffix of the published archives, or None."""
    candidates = (os.path.join(root, name + suffix) for suffix in ("", SUFFIX))
    return next(filter(os.path.isdir, candidates), None)


def _folders(numbers: ImageNetNumbers, root: str) -> dict[str, str]:
    """Return the folder of every set, ``train`` and ``val`` first; check that all exist with the same classes."""
    wanted = ("train", "val", *(V2 if numbers.imagenet_v2 else ()))
    found = {name: folder for name in wanted if (folder := _folder(root, name)) and list_folders(folder)}
    if missing := [name for name in wanted if name not in found]:
        raise RecipeError(
            f"ImageNet needs folders of classes: got none in {', '.join(missing)} of {root}. "
            + " ".join(_remedies(missing))
        )
    wnids = list_folders(found["train"])
    check_classes(found["val"], list_folders(found["val"]), wnids)
    for name in wanted[2:]:
        ids = list_folders(found[name])
        # A folder's name is the index of its class among train's sorted names; as text "10" would precede "2".
        if not all(text.isascii() and text.isdigit() for text in ids) or [*map(int, ids)] != [*range(len(wnids))]:
            raise RecipeError(
                f"ImageNetV2 must have a folder for each class of train, 0 to {len(wnids) - 1}: got {len(ids)}, "
                f"{', '.join(ids[:5])}, …, in {found[name]}. Unpack it again, or leave it out "
                "(--set imagenet_v2=false)."
            )
    return found


def _remedies(missing: list[str]) -> list[str]:
    """Return what to put where."""
    remedies = []
    if "train" in missing or "val" in missing:
        remedies.append(
            "Put the images of ILSVRC2012 (image-net.org) there as train/WNID/*.JPEG and val/WNID/*.JPEG; val is "
            "published without folders, so sort its images into those of train."
        )
    if any(name in V2 for name in missing):
        remedies.append(
            f"Unpack the archives of ImageNetV2 there (as NAME or NAME{SUFFIX}), or leave it out "
            "(--set imagenet_v2=false)."
        )
    return remedies


def _subset(files: Files, numbers: SplitNumbers) -> Files:
    return files.rows(subset_rows(files.labels, numbers.subset, numbers.split_seed))
