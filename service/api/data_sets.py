"""Data sets over REST: named, under the data folder, never a path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from search.plan.spec import NAME
from search.settings import Settings
from search.vocabulary.errors import InvalidSpec


def by_name(settings: Settings, fields: dict[str, Any]) -> dict[str, Any]:
    """Return a search's fields with the named data set's path in place of its name.

    Raises:
        InvalidSpec: if no data set has the name.
    """
    name = fields.get("data")
    if name is None:
        return fields
    known = names(settings)
    if not re.fullmatch(NAME, name) or name not in known:
        raise InvalidSpec(
            f"data must name a data set of this service: got {name[:100]!r}. Known: {', '.join(known) or 'none'}. "
            "The operator adds one by putting an .npz file or an image folder into the service's data folder."
        )
    return {**fields, "data": str(_folder(settings) / name)}


def names(settings: Settings) -> list[str]:
    """Name the data sets: .npz files and folders under the data folder; links and hidden ones are none."""
    if not _folder(settings).is_dir():
        return []
    found = [path for path in _folder(settings).iterdir() if re.fullmatch(NAME, path.name) and not path.is_symlink()]
    return sorted(path.name for path in found if path.is_dir() or path.suffix == ".npz")


def name_of(settings: Settings, data: str | None) -> str | None:
    """Return the name of a search's data set; None for none, and for one from elsewhere on this machine."""
    path = Path(data) if data else None
    return path.name if path and path.parent == _folder(settings) else None


def _folder(settings: Settings) -> Path:
    return settings.home / "data"
