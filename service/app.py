"""The web application: what it serves, and the headers that every answer carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import plotly
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from search.settings import Settings
from search.store.database import open_engine
from service import api, pages, problems

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

# Plotly sizes its drawings through style attributes; scripts come from here alone, and none is evaluated from text.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(settings: Settings) -> FastAPI:
    """Build the application over a database that is up to date."""
    engine = open_engine(settings.database_url, read_only=True)

    app = FastAPI(title="seqnorm", description="Searches over group counts of GhostNorm and SeqNorm.", docs_url=None)
    app.state.connect = engine.connect
    app.state.settings = settings
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    problems.install(app)

    @app.get("/plotly.js", include_in_schema=False)
    def plotly_script() -> FileResponse:
        return FileResponse(PLOTLY, media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    @app.middleware("http")
    async def add_headers(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        response.headers.update(HEADERS)
        return response

    return app
