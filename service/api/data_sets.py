"""Data sets that REST clients may use: by name, under the data folder, never by path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.plan.spec import NAME
from search.settings import Settings
from search.vocabulary.errors import InvalidSpec


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
            "The operator adds one by putting an .npz file or an image folder into the service's data folder."
        )
    return {**fields, "data": str(_folder(settings) / name)}


def list_names(settings: Settings) -> list[str]:
    """List the data sets: .npz files and folders in the data folder, without links and hidden files."""
    if not _folder(settings).is_dir():
        return []
    found = [path for path in _folder(settings).iterdir() if re.fullmatch(NAME, path.name) and not path.is_symlink()]
    return sorted(path.name for path in found if path.is_dir() or path.suffix == ".npz")


def find_name(settings: Settings, data: str | None) -> str | None:
    """Return the name of a search's data set; None if it has none, or one from outside the data folder."""
    path = Path(data) if data else None
    return path.name if path and path.parent == _folder(settings) else None


@contextmanager
def naming_no_paths(settings: Settings, data: str | None = None) -> Iterator[None]:
    """Take the paths of this machine out of what is refused: of the data folder, the home folder, and ``data``.

    On a command line, paths are the user's own; a client of the service knows data sets by name.
    """
    try:
        yield
    except InvalidSpec as error:
        given = Path(data).parent if data else _folder(settings)
        words = str(error)
        for folder, name in ((_folder(settings), "the data folder"), (settings.home, "home"), (given, "its folder")):
            if folder != Path(folder.anchor):
                words = words.replace(f"{folder}/", "").replace(str(folder), name)
        raise InvalidSpec(words) from None


def _folder(settings: Settings) -> Path:
    return settings.home / "data"
