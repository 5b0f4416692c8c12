"""Errors as RFC 9457 problem details: one shape for every answer that is not a success."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from search.errors import Conflict, InvalidSpec, NotFound, SearchError, StoreUnavailable
from search.store.database import DatabaseFault

STATUS: dict[type[Exception], int] = {InvalidSpec: 422, NotFound: 404, Conflict: 409, StoreUnavailable: 503}
TITLES = {
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    422: "Invalid request",
    500: "Internal error",
    503: "Unavailable",
}


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """Build the answer for an error."""
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail, **more}
    return JSONResponse(body, status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Have every error of the application answered as a problem."""

    @app.exception_handler(SearchError)
    def search_error(_: Request, error: SearchError) -> JSONResponse:
        return problem(STATUS.get(type(error), 500), str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        return problem(422, f"{field}: {first['msg']}", field=field)

    @app.exception_handler(HTTPException)
    def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(DatabaseFault)
    def database_error(_: Request, error: DatabaseFault) -> JSONResponse:
        return problem(503, "the database does not answer; try again shortly")

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> JSONResponse:
        return problem(500, "an unexpected error; its traceback is in the service's log")
