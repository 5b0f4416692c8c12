"""Render the pages from their templates."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from search.plan.naming import list_columns
from search.views import CandidateView, TrialRow
from search.vocabulary.formatting import (
    format_duration,
    format_epochs,
    format_mean_std,
    format_metric,
    format_numbers,
    format_unit,
)
from service.wording import on_page

_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


def render_page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a template. Every template gets the ``caller``, which is None on public pages."""
    context = {**values, "caller": getattr(request.state, "caller", None)}
    return _templates.TemplateResponse(request, template, context, status_code=status)


def format_time(seconds: float | None) -> str:
    """Format a time, in seconds since 1970, in UTC."""
    return "–" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_size(count: int | None) -> str:
    """Format a number of bytes."""
    if count is None:
        return "–"
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"


def build_query(values: dict[str, Any], **changes: Any) -> str:
    """Build the query string of a URL from values, some of them changed; leave empty ones out."""
    kept = {name: value for name, value in {**values, **changes}.items() if value not in (None, "", False)}
    return f"?{urlencode(kept, doseq=True)}" if kept else "?"


def list_further(rows: Iterable[CandidateView | TrialRow]) -> list[str]:
    """Return the columns that rows need beside gm and gc: of their further axes."""
    return list_columns(row.variant for row in rows)


_templates.env.filters |= {
    "columns": list_further,
    "metric": format_metric,
    "utc_time": format_time,
    "duration": format_duration,
    "epochs": format_epochs,
    "mean_std": format_mean_std,
    "query": build_query,
    "size": format_size,
    "numbers": format_numbers,
    "unit": format_unit,
    "on_page": on_page,
}
