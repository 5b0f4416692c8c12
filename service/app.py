"""The web application: what it serves, and through which hands every request goes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi_swagger
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware

from search.settings import Settings
from service import api, problems
from service.api.document import document_of
from service.database import Stores
from service.followers import Follower
from service.middleware.access import Access, looks
from service.middleware.access_log import Measured
from service.middleware.body import BodyLimit
from service.middleware.headers import EntityTags, SecurityHeaders
from service.middleware.metrics import Metrics
from service.pages import login, plotly_script, routes
from service.response_cache import LEVEL, Answers

VIEWER = Path(fastapi_swagger.__file__).parent / "resources"
HERE = Path(__file__).parent


def create_app(settings: Settings) -> FastAPI:
    """Build the application over a database that is up to date."""
    stores = Stores(settings)
    follower = Follower(stores)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        looking = asyncio.create_task(follower.look())
        preparing = asyncio.create_task(run_in_threadpool(_prepare))
        yield
        await preparing
        looking.cancel()
        stores.close()

    app = FastAPI(
        title="seqnorm",
        description="Searches over group counts of GhostNorm and SeqNorm.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.stores, app.state.settings, app.state.follower = stores, settings, follower
    app.state.answers = Answers()
    app.state.metrics = metrics = Metrics(lambda: follower.count)
    app.include_router(api.router)
    app.include_router(login.router)
    app.include_router(routes.router)
    app.include_router(plotly_script.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.mount("/viewer", StaticFiles(directory=VIEWER), name="viewer")
    problems.install(app)

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[looks])
    def document() -> dict[str, Any]:
        return document_of(app)

    # the last one added sees a request first
    app.add_middleware(EntityTags)
    app.add_middleware(Access, stores=stores, settings=settings)
    app.add_middleware(BodyLimit)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=LEVEL)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured, metrics=metrics, logs=settings.log_format == "json")
    return app


def _prepare() -> None:
    """Do what first requests would wait for; what there is then, garbage collection passes over: it took 50 ms."""
    plotly_script.prepare()
    gc.collect()
    gc.freeze()
