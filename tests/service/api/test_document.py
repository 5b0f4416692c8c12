"""The OpenAPI document that is committed, and what it promises of every answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.settings import Settings
from search.views import EventView, ExportedCandidate, ExportRow
from service.api.document import build_document
from service.app import create_app

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"
OF_THE_FRAMEWORK = {"HTTPValidationError", "ValidationError"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_document(create_app(Settings(home=tmp_path_factory.mktemp("document"))))


def contract_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a document that clients depend on: not the words, nor what the framework adds by itself."""
    schemas = {
        name: _without_words(schema)
        for name, schema in document["components"]["schemas"].items()
        if name not in OF_THE_FRAMEWORK
    }
    operations = {
        f"{method.upper()} {path}": {
            "parameters": [_without_words(each) for each in operation.get("parameters", [])],
            "body": _without_words(operation.get("requestBody", {})),
            "responses": {status: _contents(answer) for status, answer in operation["responses"].items()},
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    return {"schemas": schemas, "operations": operations}


def _contents(answer: dict[str, Any]) -> Any:
    return {kind: _without_words(content.get("schema", {})) for kind, content in answer.get("content", {}).items()}


def _without_words(part: Any) -> Any:
    if isinstance(part, dict):
        words = {"title", "description"} if not isinstance(part.get("title"), dict) else set()
        return {name: _without_words(value) for name, value in part.items() if name not in words}
    return [_without_words(each) for each in part] if isinstance(part, list) else part


def test_the_committed_document_is_that_of_the_program(document: dict[str, Any]) -> None:
    committed, current = contract_of(json.loads(COMMITTED.read_text())), contract_of(document)
    changed = [
        f"{part} {name}"
        for part in current
        for name in sorted(committed[part].keys() | current[part].keys())
        if committed[part].get(name) != current[part].get(name)
    ]
    assert not changed, f"changed on purpose? Then: make openapi. Changed: {', '.join(changed)}"


def test_every_json_answer_of_a_success_has_a_named_schema(document: dict[str, Any]) -> None:
    unnamed, named = [], 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                schema = answer.get("content", {}).get("application/json", {}).get("schema")
                if not status.startswith("2") or schema is None:
                    continue
                item = schema.get("items", schema)
                references = [each.get("$ref", "") for each in item.get("anyOf", [item])]
                named += 1
                if any(each.rpartition("/")[2] not in document["components"]["schemas"] for each in references):
                    unnamed.append(f"{method.upper()} {path}")
    assert not unnamed
    assert named >= 30, "all of them are looked at"


def test_files_and_streams_declare_their_media_types(document: dict[str, Any]) -> None:
    def kinds(path: str) -> set[str]:
        return set(document["paths"][path]["get"]["responses"]["200"]["content"])

    search = "/api/searches/{id}"
    assert kinds(f"{search}/export") == {"text/csv", "application/json"}
    assert kinds(f"{search}/checkpoint") == {"application/octet-stream"}
    assert kinds(f"{search}/events") == {"text/event-stream"}
    assert kinds(f"{search}/trials/{{stage}}/{{number}}/log") == {"text/plain"}


@pytest.mark.parametrize("view", [EventView, ExportRow, ExportedCandidate])
def test_what_is_sent_in_pieces_is_described_too(document: dict[str, Any], view: Any) -> None:
    assert set(document["components"]["schemas"][view.__name__]["properties"]) == set(view.model_fields)


def test_whatever_is_refused_is_a_problem(document: dict[str, Any]) -> None:
    answers = document["paths"]["/api/searches/{id}"]["get"]["responses"]
    for status in ("401", "403", "404", "422", "503"):
        assert answers[status]["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
