"""Read the traces of a figure."""

from __future__ import annotations

from typing import Any

from search.views import Figure


def traces(figure: Figure) -> dict[str, dict[str, Any]]:
    """Return the traces of a figure by their names."""
    return {trace["name"]: trace for trace in figure.data}
