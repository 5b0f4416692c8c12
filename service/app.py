"""Assemble the web application: state, routes, static files and the middleware order."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi_swagger
from anyio import create_task_group
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware

from search.settings import Settings
from service import api, problems
from service.accounts.guesses import Guesses
from service.admission import Admission
from service.api.data_sets import uploads_folder
from service.api.document import build_document
from service.api.files import MAX_DOWNLOADS, MAX_DOWNLOADS_OF_TOKEN
from service.api.health import ReadinessCheck
from service.database import Database
from service.event_notifier import EventNotifier
from service.middleware.access import AccessMiddleware, can_read
from service.middleware.access_log import AccessLogMiddleware
from service.middleware.body import BodyMiddleware
from service.middleware.gate import GateMiddleware
from service.middleware.headers import EntityTagMiddleware, SecurityHeadersMiddleware
from service.middleware.metrics import Metrics
from service.middleware.pieces import PiecesMiddleware
from service.open_responses import OpenResponses
from service.pages import login, plotly_script, routes
from service.recovery_sweep import recover_regularly
from service.response_cache import GZIP_LEVEL, ResponseCache
from service.static_files import CompressedStaticFiles
from service.token_uses import TokenUses
from service.uploads import Uploads, remove_leftovers
from trainers import inspection

SWAGGER_UI_FOLDER = Path(fastapi_swagger.__file__).parent / "resources"
STATIC_FOLDER = Path(__file__).parent / "static"


def create_app(settings: Settings) -> FastAPI:
    """Build the application. The database must exist and have the current schema."""
    database = Database(settings)
    admission, guesses = Admission(), Guesses(settings.guesses_per_minute)
    notifier = EventNotifier(database, admission)
    token_uses = TokenUses(database)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with create_task_group() as background:  # ends when its threads have given back their connections
            background.start_soon(notifier.poll)
            background.start_soon(token_uses.store_regularly)
            background.start_soon(recover_regularly, settings, database)
            background.start_soon(run_in_threadpool, _warm_up)
            await run_in_threadpool(remove_leftovers, uploads_folder(settings))
            yield
            inspection.end_children()  # threads that wait for one would keep the process from ending
            background.cancel_scope.cancel()
        await run_in_threadpool(token_uses.store)
        database.close()

    app = FastAPI(
        title="seqnorm",
        description="Searches over group counts of GhostNorm and SeqNorm.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.database, app.state.settings, app.state.notifier = database, settings, notifier
    app.state.admission, app.state.guesses = admission, guesses
    app.state.downloads = OpenResponses("downloads", MAX_DOWNLOADS_OF_TOKEN, MAX_DOWNLOADS)
    app.state.uploads = Uploads()
    app.state.readiness_check = ReadinessCheck(database, settings)
    app.state.response_cache = ResponseCache()
    app.state.metrics = metrics = Metrics(lambda: notifier.streams.count)
    app.include_router(api.router)
    app.include_router(login.router)
    app.include_router(routes.router)
    app.include_router(plotly_script.router)
    app.mount("/static", CompressedStaticFiles(directory=STATIC_FOLDER), name="static")
    app.mount("/viewer", CompressedStaticFiles(directory=SWAGGER_UI_FOLDER), name="viewer")
    problems.add_error_handlers(app)

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[can_read])
    def document() -> dict[str, Any]:
        return build_document(app)

    # The middleware order: the last one added sees a request first.
    app.add_middleware(EntityTagMiddleware)
    app.add_middleware(
        AccessMiddleware,
        database=database,
        admission=admission,
        guesses=guesses,
        token_uses=token_uses,
        settings=settings,
    )
    app.add_middleware(BodyMiddleware, guesses=guesses)
    app.add_middleware(GateMiddleware, guesses=guesses, settings=settings)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=GZIP_LEVEL)
    app.add_middleware(PiecesMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(AccessLogMiddleware, metrics=metrics, log_requests=settings.log_format == "json")
    return app


def _warm_up() -> None:
    """Do at startup what the first requests would wait for.

    Freezing the objects that exist by then spares each full garbage collection 50 ms.
    """
    plotly_script.warm_up()
    gc.collect()
    gc.freeze()
