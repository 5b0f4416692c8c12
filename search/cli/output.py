"""Prints JSON to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.views import View


def print_json(value: Any) -> None:
    """Print one JSON value to stdout."""
    print(json.dumps(value, allow_nan=False))


def print_view(view: View) -> None:
    """Print a view as one JSON object to stdout."""
    print(view.model_dump_json())


def print_views(views: Iterable[View]) -> None:
    """Print views as one JSON array to stdout."""
    print(f"[{','.join(view.model_dump_json() for view in views)}]")
