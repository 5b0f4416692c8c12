"""Which folders of a data set are splits and which are classes.

Splits are read under the names that people give them (``Train``, ``valid``, ``test_set``), but only if it is certain
which is which. What would make classes of splits without a word, or splits of classes, is refused.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from itertools import chain, combinations

from trainers.data.listing import first_few, holds_images, list_folders
from trainers.recipe import RecipeError

LAYOUT = "DIR/CLASS/*, or DIR/train/CLASS/* with DIR/val/CLASS/* or DIR/test/CLASS/* or both"
SPLITS = ("train", "val", "test")
EITHER = "either"  # validation or test
ROLES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("eval", "evaluation", "holdout", "heldout"), EITHER),
}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # of snake_case, kebab-case and CamelCase
ENDINGS = re.compile(r"(?<=[a-z])(data)?(set|data|images?|imgs?|split)$")  # as in `trainset`


def find_splits(path: str) -> dict[str, str]:
    """Return the folder of each split by name, ``train`` first; nothing if the folders are classes.

    Raises:
        RecipeError: if the folders are splits, but not certainly the three that are known.
    """
    inside = {name: list_folders(os.path.join(path, name)) for name in list_folders(path)}
    roles = {name: role for name in inside if (role := find_role(name))}
    if not _are_splits(inside, roles):
        _refuse_mixtures(path, inside)
        return {}
    split = _assign(roles)
    if split is None or len(roles) < len(inside) or not all(inside.values()):
        raise RecipeError(
            "an image folder in splits has train, and val or test or both, and no other, each with the class folders: "
            f"got {first_few(list(inside))} in {path}. Give one with {LAYOUT}. "
            "A class must hold its images, not folders."
        )
    return {name: split[name] for name in SPLITS if name in split}


def find_role(name: str) -> str | None:
    """Return the split that a folder's name means: ``train``, ``val``, ``test``, :data:`EITHER`, or None."""
    words = [word.lower() for word in WORD.findall(name)]
    roles = {role for word in words if (role := ROLES.get(word) or ROLES.get(ENDINGS.sub("", word)))}
    return roles.pop() if len(roles) == 1 else None


def are_flat_splits(path: str) -> bool:
    """Return whether the class folders have the names of splits, and no folders inside them."""
    names = list_folders(path)
    roles = {find_role(name) for name in names}
    return None not in roles and len(roles) > 1 and not any(list_folders(os.path.join(path, name)) for name in names)


def _are_splits(inside: dict[str, list[str]], roles: dict[str, str]) -> bool:
    """Return whether the folders look like splits; a class may be called `train`, but then it holds images."""
    if any(inside[name] for name in roles if name in SPLITS):
        return True
    if len(roles) == len(inside) and len(set(roles.values())) > 1 and any(inside.values()):
        return True
    return any(len({*inside[name]} & {*inside[other]}) > 1 for name in roles for other in inside if other != name)


def _assign(roles: dict[str, str]) -> dict[str, str] | None:
    """Return the folder of each split, or None if that is not certain."""
    split = {role: name for name, role in roles.items() if role != EITHER}
    either = [name for name, role in roles.items() if role == EITHER]
    if either:  # beside train alone it is measured as a test set would be
        split.setdefault("test" if "test" not in split and ("val" in split or len(roles) == 2) else "val", either[0])
    return split if len(split) == len(roles) and "train" in split and len(split) > 1 else None


def _refuse_mixtures(path: str, inside: dict[str, list[str]]) -> None:
    """Refuse what would be read as classes but shares folders: splits, classes, or images and masks.

    They are classes only if all of them hold images themselves; a stray image in one is not enough.
    """
    within = sorted({name for names in inside.values() for name in names})
    if len(inside) < 2 or len(within) < 2:
        return
    roles = {find_role(name) for name in within}
    splits_inside = None not in roles and len(roles) > 1
    if not splits_inside and (not _share_folders(inside) or all(holds_images(path, top) for top in inside)):
        return
    tops, remedy = first_few(list(inside)), "Splits hold classes, not the other way round."
    if not splits_inside:
        remedy = f"Name splits train, val and test; if {tops} are the classes, put their images right into them."
    raise RecipeError(
        f"the folders in an image folder must be splits or classes: got {tops} in {path}, which hold "
        f"{first_few(within)}. {remedy} Give a folder with {LAYOUT}."
    )


def _share_folders(inside: dict[str, list[str]]) -> bool:
    """Return whether any two folders hold more than one of the same names; one may be `images` in each class."""
    holders = Counter(chain.from_iterable(inside.values()))
    shared = [{name for name in names if holders[name] > 1} for names in inside.values()]
    return any(len(one & other) > 1 for one, other in combinations([names for names in shared if len(names) > 1], 2))
