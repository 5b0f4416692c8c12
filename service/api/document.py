"""The OpenAPI document; ``docs/openapi.json`` has it as ``python -m service.api`` prints it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from search.views import EventView, ExportRow
from service.middleware.access import is_public

REFERENCE = "#/components/schemas/{model}"
PROBLEM_FIELDS = {"type": "string", "title": "string", "status": "integer", "detail": "string", "field": "string"}


def document_of(app: FastAPI) -> dict[str, Any]:
    """Return the application's document, with what the framework does not know: errors, streams, files, logging in."""
    document: dict[str, Any] = app.openapi()
    parts = document["components"]
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    parts["schemas"] |= _streamed() | {"Problem": _problem()}
    document["security"] = [{"token": []}]
    for path, methods in document["paths"].items():
        if is_public(path):
            for operation in methods.values():
                operation["security"] = []
    return document


def _streamed() -> dict[str, Any]:
    """Describe the views that are sent in pieces, which no route has as its model."""
    _, schemas = models_json_schema(
        [(EventView, "serialization"), (ExportRow, "serialization")], ref_template=REFERENCE
    )
    found: dict[str, Any] = schemas["$defs"]
    return found


def _problem() -> dict[str, Any]:
    return {
        "title": "Problem",
        "description": "RFC 9457 problem details: `detail` says the rule, what was received, and what to do.",
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in PROBLEM_FIELDS.items()},
        "required": ["type", "title", "status", "detail"],
    }
