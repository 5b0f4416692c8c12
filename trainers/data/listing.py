"""Lists the image files below folders; counts what else lies there, so that nothing is dropped without a word."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from unicodedata import normalize

from trainers.recipe import RecipeError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
# What archives, file servers and file systems leave in folders; names that start with a dot are left out anyway.
FOREIGN = frozenset({"__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information", "lost+found"})
SHOWN = 8  # kinds of files that are told


class LeftOut:
    """Counts of files and folders that are not read."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()  #: by what they are, e.g. ``.gif`` or ``hidden``
        self.folders: Counter[str] = Counter()  #: by name

    def count(self, name: str, outside: bool = False) -> None:
        """Count a file; ``outside`` if it lies beside folders of classes instead of in one."""
        suffix = os.path.splitext(name)[1].lower()
        kind = "hidden" if name[0] == "." else suffix[:12] or "without a suffix"
        self.files[f"{kind} outside the class folders" if outside and is_image(name) else kind] += 1

    def __str__(self) -> str:
        """Return e.g. ``12 files left out: 9 .gif, 3 hidden``, or nothing."""
        clauses = []
        if total := self.files.total():
            kinds = [f"{count} {kind}" for kind, count in self.files.most_common()]
            clauses.append(f"{total} file{'s' * (total > 1)} left out: {first_few(kinds, SHOWN)}")
        if self.folders:
            names = [f"{name} ({count})" if count > 1 else name for name, count in self.folders.most_common()]
            clauses.append(f"folders left out: {first_few(names, SHOWN)}")
        return "; ".join(clauses)


class Listing:
    """Lists the images of folders, each in one class of one split.

    Args:
        root: of the data set; no folder may lead back to it.
    """

    def __init__(self, root: str) -> None:
        self.left_out = LeftOut()
        self._root = os.path.realpath(root)
        self._owners: dict[str, str] = {}  # of each folder that was seen, the folder of its class

    def claim(self, folders: Iterable[str]) -> None:
        """Note the folders of classes, before any is listed.

        Raises:
            RecipeError: if two are the same folder.
        """
        for folder in folders:
            self._claim(folder, folder)

    def images(self, root: str, folder: str) -> list[str]:
        """List all images below a class's folder, relative to ``root``, in torchvision's order.

        Links are followed, except back to a folder of the same class.

        Raises:
            RecipeError: if a link leads to another class, or out of the classes and back; if a folder is unreadable.
        """
        found: list[tuple[str, str]] = []
        owner = os.path.join(root, folder)
        visited: set[str] = set()
        for parent, folders, files in os.walk(owner, followlinks=True, onerror=_refuse_unreadable):
            if (real := self._claim(parent, owner)) in visited:
                self.left_out.folders["links back into a class"] += 1
                folders.clear()
                continue
            visited.add(real)
            kept = [name for name in folders if not is_foreign(name)]
            self.left_out.folders.update(set(folders) - set(kept))
            folders[:] = kept
            inside = os.path.relpath(parent, root)
            for name in files:
                if is_image(name):
                    found.append((inside, name))
                else:
                    self.left_out.count(name)
        return [os.path.join(*names) for names in sorted(found)]

    def count_outside(self, folder: str) -> None:
        """Count what lies beside the folders of classes."""
        for entry in scan(folder):
            if not _is_folder(entry):
                self.left_out.count(entry.name, outside=True)
            elif is_foreign(entry.name):
                self.left_out.folders[entry.name] += 1

    def _claim(self, folder: str, owner: str) -> str:
        """Note that a folder belongs to a class; return its real path."""
        real = os.path.realpath(folder)
        other = self._owners.setdefault(real, owner)
        if other != owner:
            raise RecipeError(
                f"every image must be in one class of one split: got {folder}, which leads to {other}. "
                "Remove the link or the folder."
            )
        if os.path.join(self._root, "").startswith(os.path.join(real, "")):
            raise RecipeError(
                f"every image must be in one class of one split: got {folder}, a link to {real}, which holds the "
                "data set itself. Remove the link."
            )
        return real


def list_folders(path: str) -> list[str]:
    """Return the folders in a folder in label order: sorted as numbers if all are, else as text."""
    names = [entry.name for entry in scan(path) if not is_foreign(entry.name) and _is_folder(entry)]
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def holds_images(path: str, folder: str) -> bool:
    """Return whether image files lie right in a folder."""
    return any(is_image(entry.name) for entry in scan(os.path.join(path, folder)))


def is_image(name: str) -> bool:
    """Return whether a file of that name is read as an image."""
    return name.lower().endswith(EXTENSIONS) and name[0] != "."


def is_foreign(name: str) -> bool:
    """Return whether a folder of that name does not belong to the data set."""
    return name[0] == "." or name.casefold() in FOREIGN


def scan(path: str) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder.

    Raises:
        RecipeError: if it is unreadable.
    """
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError as error:
        _refuse_unreadable(error)


def find_alike(names: Iterable[str]) -> list[str]:
    """Return the names that people may take for one: they differ in case, spaces, leading zeros or Unicode's form."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(normalize("NFC", name).casefold().strip().lstrip("0"), []).append(name)
    return [name for group in groups.values() if len(group) > 1 for name in group]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def first_few(names: Sequence[str], most: int = 5) -> str:
    """Join the first few names."""
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])]) or "none"


def _refuse_unreadable(error: OSError) -> None:
    """Raise what :func:`os.walk` would pass over: a folder that cannot be listed."""
    raise RecipeError(
        f"every folder of a data set must be readable: got {error.filename} ({error.strerror}). "
        "Change its permissions, or remove it."
    ) from None
