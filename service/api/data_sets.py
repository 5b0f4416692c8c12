"""Data sets that REST clients may use: by name, under the data folder, never by path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from search.plan.spec import NAME
from search.settings import Settings
from search.views import DataSetKind, DataSetView
from search.vocabulary.errors import InvalidSpec
from trainers.unpacking import count_classes


def resolve_data_set(settings: Settings, fields: dict[str, Any]) -> dict[str, Any]:
    """Replace the name of a data set by its path in the fields of a search.

    Raises:
        InvalidSpec: if no data set has the name.
    """
    name = fields.get("data")
    if name is None:
        return fields
    known = list_names(settings)
    if not re.fullmatch(NAME, name) or name not in known:
        raise InvalidSpec(
            f"data must name a data set of this service: got {name[:100]!r}. Known: {', '.join(known) or 'none'}. "
            "Upload one with POST /api/data, or have the operator put it into the service's data folder."
        )
    return {**fields, "data": str(_find(settings, name))}


def list_names(settings: Settings) -> list[str]:
    """List the data sets: .npz files and folders in the folders of data sets, without links and hidden files."""
    paths = [path for folder in _folders(settings) if folder.is_dir() for path in folder.iterdir()]
    found = [path for path in paths if re.fullmatch(NAME, path.name) and not path.is_symlink()]
    return sorted({path.name for path in found if path.is_dir() or path.suffix == ".npz"})


def list_data_sets(settings: Settings) -> list[DataSetView]:
    """List the data sets with what is known of them without reading any."""
    return [found for name in list_names(settings) if (found := _describe(_find(settings, name)))]


def _describe(path: Path) -> DataSetView | None:
    """Describe a data set; None if it is gone."""
    try:
        found = path.stat()
        if not path.is_dir():
            return DataSetView(name=path.name, kind=DataSetKind.ARRAYS, size=found.st_size, classes=None)
        classes = _count_classes(path, found.st_mtime_ns, _get_time(path / "train"))
    except OSError:
        return None
    return DataSetView(name=path.name, kind=DataSetKind.FOLDER, size=None, classes=classes)


@lru_cache(1000)
def _count_classes(path: Path, *_: int) -> int:
    """Count the classes of an image folder; anew when the times of its changes are others."""
    return count_classes(path)


def _get_time(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_dir() else 0


def find_name(settings: Settings, data: str | None) -> str | None:
    """Return the name of a search's data set; None if it has none, or one from outside the data folder."""
    path = Path(data) if data else None
    return path.name if path and path.parent in _folders(settings) else None


@contextmanager
def naming_no_paths(settings: Settings, data: str | None = None) -> Iterator[None]:
    """Take the paths of this machine out of what is refused: of the data folder, the home folder, and ``data``.

    On a command line, paths are the user's own; a client of the service knows data sets by name.
    """
    try:
        yield
    except InvalidSpec as error:
        raise InvalidSpec(without_paths(settings, str(error), data)) from None


def without_paths(settings: Settings, words: str, data: str | None = None) -> str:
    """Return a message without the paths that :func:`naming_no_paths` takes out."""
    given = Path(data).parent if data else data_folder(settings)
    own = [(folder, "the data folder") for folder in _folders(settings)]
    for folder, name in (*own, (settings.home, "home"), (given, "its folder")):
        if folder != Path(folder.anchor):
            words = words.replace(f"{folder}/", "").replace(str(folder), name)
    return words


def data_folder(settings: Settings) -> Path:
    """Return the folder of the operator's data sets, which recipes look into too."""
    return settings.home / "data"


def uploads_folder(settings: Settings) -> Path:
    """Return the folder of the data sets that were uploaded: no recipe takes one for its own."""
    return settings.home / "uploads"


def _folders(settings: Settings) -> tuple[Path, Path]:
    return data_folder(settings), uploads_folder(settings)


def _find(settings: Settings, name: str) -> Path:
    """Return the path of a data set that there is; the operator's comes first."""
    path = data_folder(settings) / name
    return path if path.exists() and not path.is_symlink() else uploads_folder(settings) / name
