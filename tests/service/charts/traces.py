"""What is in a figure."""

from __future__ import annotations

from typing import Any


def traces(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the traces of a figure by their names."""
    return {trace["name"]: trace for trace in figure["data"]}
