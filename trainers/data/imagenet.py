"""ImageNet as folders of files, too many for memory: ``train/WNID/*``, ``val/WNID/*`` and the three ImageNetV2 sets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainers.data.folder import Files, check_classes, classes_of, listed
from trainers.data.split import SplitNumbers, capped, check_batch
from trainers.recipe import RecipeError

VALIDATION = "validation"
V2 = ("imagenetv2-matched-frequency", "imagenetv2-threshold0.7", "imagenetv2-top-images")
SUFFIX = "-format-val"  # that the published archives add to a folder's name


class ImageNetNumbers(SplitNumbers, Protocol):
    """The numbers of a recipe that this file reads."""

    @property
    def imagenet_v2(self) -> bool:
        """Whether the test sets are ImageNetV2's three; else it is the validation set."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Image files: train to learn from, validation to choose by, test sets to measure the chosen."""

    train: Files
    validation: Files
    tests: Mapping[str, Files]  #: by name; ``validation`` where no other set is asked for
    classes: int
    source: str  #: where the images lie, for a person

    def split(self, name: str) -> Files:
        """Return ``validation`` or a test set."""
        return self.validation if name == VALIDATION else self.tests[name]


def load(numbers: ImageNetNumbers, data: str | None, home: Path) -> Folders:
    """List the files below ``data``, or else ``home/data/imagenet``; none is opened.

    Raises:
        RecipeError: naming all that is missing.
    """
    root = data or str(_default(home))
    found = _folders(numbers, root)
    wnids = classes_of(found["train"])
    train, validation, *tests = (
        listed(folder, wnids if split in ("train", "val") else classes_of(folder)) for split, folder in found.items()
    )
    folders = Folders(
        train=_capped(train, numbers),
        validation=_capped(validation, numbers),
        tests={name: _capped(files, numbers) for name, files in zip(V2, tests, strict=False)}
        or {VALIDATION: _capped(validation, numbers)},
        classes=len(wnids),
        source=root,
    )
    check_batch(len(folders.train), root, numbers.batch)
    return folders


def check(numbers: ImageNetNumbers, data: str) -> None:
    """Refuse what :func:`load` would refuse, short of listing a million files."""
    _folders(numbers, data)
    if numbers.subset:
        check_batch(numbers.subset, data, numbers.batch)


def identify(home: Path) -> str:
    """Name the classes and the sets that :func:`load` finds when it is given no choice, without listing files."""
    root = str(_default(home))
    names = {name: classes_of(folder) for name in ("train", "val", *V2) if (folder := _folder(root, name))}
    if not names:
        return "absent"
    classes = hashlib.sha256("\n".join(names.get("train", [])).encode()).hexdigest()[:16]
    return " ".join([*(f"{name} {len(found)}" for name, found in names.items()), classes])


def _default(home: Path) -> Path:
    return home / "data" / "imagenet"


def _folder(root: str, name: str) -> str | None:
    """Return where a set lies, with or without the suffix of the published archives."""
    places = (os.path.join(root, name + suffix) for suffix in ("", SUFFIX))
    return next(filter(os.path.isdir, places), None)


def _folders(numbers: ImageNetNumbers, root: str) -> dict[str, str]:
    """Return where every set lies, once all are there with the same classes; ``train`` and ``val`` come first."""
    wanted = ("train", "val", *(V2 if numbers.imagenet_v2 else ()))
    found = {name: folder for name in wanted if (folder := _folder(root, name)) and classes_of(folder)}
    if missing := [name for name in wanted if name not in found]:
        raise RecipeError(
            f"ImageNet needs folders of classes: got none in {', '.join(missing)} of {root}. "
            + " ".join(_remedies(missing))
        )
    wnids = classes_of(found["train"])
    check_classes(found["val"], classes_of(found["val"]), wnids)
    for name in wanted[2:]:
        ids = classes_of(found[name])
        # As text "10" comes before "2"; a folder's name is the place of its class among the sorted names of train.
        if not all(text.isascii() and text.isdigit() for text in ids) or [*map(int, ids)] != [*range(len(wnids))]:
            raise RecipeError(
                f"ImageNetV2 must have a folder for each class of train, 0 to {len(wnids) - 1}: got {len(ids)}, "
                f"{', '.join(ids[:5])}, …, in {found[name]}. Unpack it again, or leave it out "
                "(--set imagenet_v2=false)."
            )
    return found


def _remedies(missing: list[str]) -> list[str]:
    """Say what to put where."""
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


def _capped(files: Files, numbers: SplitNumbers) -> Files:
    return files.rows(capped(files.labels, numbers.subset, numbers.split_seed))
