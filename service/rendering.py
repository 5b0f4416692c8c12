"""Pages from templates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from search.vocabulary.formatting import format_duration, format_mean_std, format_metric

_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page; every one knows its caller, who is None on the pages for strangers."""
    context = {**values, "caller": getattr(request.state, "caller", None)}
    return _templates.TemplateResponse(request, template, context, status_code=status)


def moment(value: float | None) -> str:
    """Write a time in UTC."""
    return "–" if value is None else datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M UTC")


def query(values: dict[str, Any], **changes: Any) -> str:
    """Write a query of a URL, with some values changed and empty ones left out."""
    kept = {name: value for name, value in {**values, **changes}.items() if value not in (None, "", False)}
    return f"?{urlencode(kept, doseq=True)}" if kept else "?"


_templates.env.filters |= {
    "metric": format_metric,
    "moment": moment,
    "duration": format_duration,
    "mean_std": format_mean_std,
    "query": query,
}
