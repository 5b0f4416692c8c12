"""Errors as RFC 9457 problem details: one shape for every response that is not a success."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from search.plan.problems import first_problem, validation_message, violated_rule
from search.store.database import DatabaseError, PoolTimeout
from search.store.faults import Fault, find_fault, own_sentence
from search.vocabulary.errors import (
    Busy,
    Conflict,
    Denied,
    InvalidSpec,
    NotFound,
    SearchError,
    StoreUnavailable,
    TooLarge,
    TooSlow,
)
from service.middleware.headers import HEADERS
from service.rendering import render_page
from service.wording import in_words_of, place_of

log = logging.getLogger(__name__)

STATUS_CODES: dict[type[Exception], int] = {
    InvalidSpec: 422,
    NotFound: 404,
    Conflict: 409,
    Denied: 403,
    StoreUnavailable: 503,
    Busy: 503,
    TooLarge: 413,
    TooSlow: 408,
}
_DATABASE_FAULTS = {  # strangers read them too, so they say no more
    Fault.LOCKED: "the database must be free: got a lock of another process. Try again shortly.",
    Fault.FULL: "the database must have room to write: got a full disk. Make room on the disk of the database.",
    Fault.GONE: "the database must exist: got no file, as it was deleted or moved. Restore it from a back-up.",
    Fault.OTHER: "the database must respond: got no response. Try again shortly; the cause is in the service's log.",
}
RETRY_SECONDS = 2  # of Retry-After, with each 503
UNREADABLE_BODY = (
    "the body must be JSON of ordinary depth and size: got deep nesting, or a number with thousands of digits. "
    "Send a plain object."
)
TITLES = {
    400: "Bad request",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    421: "Misdirected",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


def error_response(request: Request, status: int, detail: str) -> Response:
    """Respond with an HTML page if a browser asked for a page, with problem details otherwise."""
    if request.method == "GET" and not request.url.path.startswith("/api/") and _accepts_html(request):
        response: Response = render_page(
            request, "problem.html", status, title=TITLES.get(status, "Error"), detail=detail
        )
        return _say_when_to_retry(response)
    return problem_response(status, detail)


def _accepts_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def problem_response(status: int, detail: str, **more: Any) -> Response:
    """Build a response with problem details, in ASCII only: it may quote anything that was received."""
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail, **more}
    return _say_when_to_retry(Response(json.dumps(body), status, media_type="application/problem+json"))


def raw_problem(status: int, detail: str) -> bytes:
    """Build a whole HTTP response with problem details, for what reaches no application."""
    response = problem_response(status, detail)
    headers = {**response.headers, **HEADERS, "Connection": "close"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + bytes(response.body)


def _say_when_to_retry(response: Response) -> Response:
    if response.status_code == 503:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def database_detail(error: Exception) -> str:
    """Log what is wrong with the database, and return the detail of a problem for it."""
    log.error("the database does not respond: %s", own_sentence(error))
    return _DATABASE_FAULTS[find_fault(error) or Fault.OTHER]


def add_error_handlers(app: FastAPI) -> None:
    """Make the application respond to every error with problem details."""

    @app.exception_handler(SearchError)
    def handle_search_error(request: Request, error: SearchError) -> Response:
        detail = in_words_of(place_of(request), str(error))
        return error_response(request, STATUS_CODES.get(type(error), 500), detail)

    @app.exception_handler(RequestValidationError)
    def handle_invalid_request(request: Request, error: RequestValidationError) -> Response:
        first = first_problem(error.errors())
        location, *path = first["loc"]
        field = ".".join(str(part) for part in path)
        if location != "body":
            received = repr(first.get("input"))[:200]
            return error_response(
                request, 422, f"{field} {violated_rule(first)}: got {received}. Change it or leave it out."
            )
        model = _get_body_model(request)
        if first["type"] == "json_invalid" or not path or model is None:
            return problem_response(
                422, "the body must be a JSON object: got something else. Send it as application/json."
            )
        return problem_response(422, validation_message({**first, "loc": tuple(path)}, model), field=field)

    @app.exception_handler(HTTPException)
    def handle_http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400 and isinstance(error.__cause__, RecursionError | ValueError):
            return problem_response(422, UNREADABLE_BODY)
        details = {
            404: f"nothing is at {request.url.path!r}",
            405: f"{request.url.path!r} does not take {request.method}",
        }
        response = error_response(request, error.status_code, details.get(error.status_code, str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(DatabaseError)
    @app.exception_handler(PoolTimeout)
    def handle_database_error(request: Request, error: Exception) -> Response:
        return error_response(request, 503, database_detail(error))

    @app.exception_handler(Exception)
    def handle_unexpected_error(_: Request, error: Exception) -> Response:
        response = problem_response(500, "an unexpected error; its traceback is in the service's log")
        response.headers.update(HEADERS)  # this response does not pass the middleware that adds them
        return response


def _get_body_model(request: Request) -> type[BaseModel] | None:
    """Return the pydantic model of the body that the requested route takes."""
    parameters = getattr(getattr(request.scope.get("route"), "dependant", None), "body_params", [])
    kinds = [
        kind for each in parameters for kind in (each.field_info.annotation, *get_args(each.field_info.annotation))
    ]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
