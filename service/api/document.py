"""Build the OpenAPI document. ``docs/openapi.json`` is the output of ``python -m service.api``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from search.views import EventView, ExportedCandidate, ExportRow
from service.middleware.gate import is_public

REF_TEMPLATE = "#/components/schemas/{model}"
PROBLEM_FIELDS = {"type": "string", "title": "string", "status": "integer", "detail": "string", "field": "string"}


def build_document(app: FastAPI) -> dict[str, Any]:
    """Return the application's document, with what FastAPI does not add: errors, streamed views, authentication."""
    document: dict[str, Any] = app.openapi()
    components = document["components"]
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    components["schemas"] |= _streamed_schemas() | {"Problem": _problem_schema()}
    document["security"] = [{"token": []}]
    for path, methods in document["paths"].items():
        if is_public(path):
            for operation in methods.values():
                operation["security"] = []
    return document


def _streamed_schemas() -> dict[str, Any]:
    """Return the schemas of views that are streamed, so that no route declares them."""
    _, schemas = models_json_schema(
        [(kind, "serialization") for kind in (EventView, ExportRow, ExportedCandidate)], ref_template=REF_TEMPLATE
    )
    found: dict[str, Any] = schemas["$defs"]
    return found


def _problem_schema() -> dict[str, Any]:
    return {
        "title": "Problem",
        "description": "RFC 9457 problem details: `detail` says the rule, what was received, and what to do.",
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in PROBLEM_FIELDS.items()},
        "required": ["type", "title", "status", "detail"],
    }
