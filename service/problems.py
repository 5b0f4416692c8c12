"""Errors as RFC 9457 problem details: one shape for every answer that is not a success."""

from __future__ import annotations

import json
import logging
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from search.plan.spec import validation_message, violated_rule
from search.store.database import DatabaseError
from search.vocabulary.errors import Conflict, Denied, InvalidSpec, NotFound, SearchError, StoreUnavailable
from service.rendering import page

log = logging.getLogger(__name__)

STATUS: dict[type[Exception], int] = {
    InvalidSpec: 422,
    NotFound: 404,
    Conflict: 409,
    Denied: 403,
    StoreUnavailable: 503,
}
NO_DATABASE = "the database must answer: got none of its answers. Try again shortly; the operator sees why in the log."
UNREADABLE = (
    "the body must be JSON of ordinary depth and size: got what the parser gives up on, deeply nested or a number of "
    "thousands of digits. Send a plain object."
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


def answer_to(request: Request, status: int, detail: str) -> Response:
    """Answer an error as a page where a person looks at pages, as a problem elsewhere."""
    if request.method == "GET" and not request.url.path.startswith("/api/") and _wants_page(request):
        return page(request, "problem.html", status, title=TITLES.get(status, "Error"), said=detail)
    return problem(status, detail)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def problem(status: int, detail: str, **more: Any) -> Response:
    """Build the answer for an error. What was received may be quoted in it, so nothing is left that is not ASCII."""
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail, **more}
    return Response(json.dumps(body), status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Have every error of the application answered as a problem."""

    @app.exception_handler(SearchError)
    def search_error(request: Request, error: SearchError) -> Response:
        return answer_to(request, STATUS.get(type(error), 500), str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place, *path = first["loc"]
        field = ".".join(str(part) for part in path)
        if place != "body":
            received = repr(first.get("input"))[:200]
            return answer_to(
                request, 422, f"{field} {violated_rule(first)}: got {received}. Change it or leave it out."
            )
        model = _body_of(request)
        if first["type"] == "json_invalid" or not path or model is None:
            return problem(422, "the body must be a JSON object: got something else. Send it as application/json.")
        return problem(422, validation_message({**first, "loc": tuple(path)}, model), field=field)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400 and isinstance(error.__cause__, RecursionError | ValueError):
            return problem(422, UNREADABLE)
        known = {404: f"nothing is at {request.url.path!r}", 405: f"{request.method} is not for {request.url.path!r}"}
        said = known.get(error.status_code, str(error.detail))
        answer = answer_to(request, error.status_code, said)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(DatabaseError)
    def database_error(request: Request, error: DatabaseError) -> Response:
        log_fault(error)
        return answer_to(request, 503, NO_DATABASE)

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> Response:
        return problem(500, "an unexpected error; its traceback is in the service's log")


def log_fault(error: DatabaseError) -> None:
    """Tell the operator why the database did not answer."""
    log.error("the database does not answer: %s", " ".join(str(error.orig).split()))


def _body_of(request: Request) -> type[BaseModel] | None:
    """Return the model of the body that the asked route takes."""
    parameters = getattr(getattr(request.scope.get("route"), "dependant", None), "body_params", [])
    kinds = [
        kind for each in parameters for kind in (each.field_info.annotation, *get_args(each.field_info.annotation))
    ]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
