"""What all figures share: colours, layout, and the conversion to JSON, in which every text is made text.

Plotly reads some HTML in its texts: a search named ``<a href=…>`` would be a link in a legend. Charts therefore write
plain text, with a newline where a line ends, and ``to_figure`` escapes every string of the figure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from itertools import cycle
from typing import Any

import numpy as np  # noqa: F401  # Plotly uses it if it finds it, even while another thread is still importing it
import plotly.graph_objects as go

from search.views import Figure

#: where names of points, which may have several lines, stand between a figure and its legend
LEGEND_AT_BOTTOM = {"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"}

PlotlyAxis = dict[str, Any]  #: Plotly's description of an axis

ACCENT, MUTED, CHOSEN = "#5b8dd6", "#8a94a6", "#2e9b5f"  # legible on a light and on a dark background
GRID = "rgba(128,128,128,0.25)"
SERIES = ("#5b8dd6", "#d98b3a", "#2e9b5f", "#c65b9b", "#8a7bd8", "#b59a2b", "#3fa7b0", "#c9605a")


def colors() -> Iterator[str]:
    """Return an endless cycle of colours for series."""
    return cycle(SERIES)


def with_opacity(color: str, opacity: float) -> str:
    """Return a colour such as ``#5b8dd6`` with an opacity, as ``rgba(…)``."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def to_figure(
    figure: go.Figure, y_title: str, *, xaxis: PlotlyAxis, yaxis: PlotlyAxis | None = None, **more: Any
) -> Figure:
    """Lay out a figure and convert it to JSON, with every string escaped. ``more`` overrides the layout."""
    layout = {
        "template": "none",
        "margin": {"l": 70, "r": 20, "t": 20, "b": 90},
        "height": 380,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
        "hoverlabel": {"namelength": -1},  # a name that is cut may be cut within an escaped character
        "xaxis": xaxis,
        "yaxis": {"title": {"text": y_title}, "gridcolor": GRID, "zeroline": False, **(yaxis or {})},
    }
    figure.update_layout(layout | more)
    drawn = _escape(json.loads(figure.to_json()))
    for trace in drawn["data"]:
        if "hovertemplate" in trace:
            trace["hovertemplate"] += "<extra></extra>"  # no second box, with the name of the trace
    return Figure.model_construct(data=drawn["data"], layout=drawn["layout"])  # Plotly's own output needs no validation


def _escape(value: Any) -> Any:
    """Escape each string in a JSON value for Plotly, and break its lines."""
    if isinstance(value, str):
        return escape(value, quote=False).replace("\n", "<br>")
    if isinstance(value, list):
        return [_escape(each) for each in value]
    if isinstance(value, dict):
        return {name: _escape(each) for name, each in value.items()}
    return value
