"""The whole application: what it serves, and the middleware order."""

from __future__ import annotations

import gzip
import json
import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from search.settings import Settings
from search.store import recovery
from service import app
from service.database import Database
from tests.search.stored import prepare
from tests.service.conftest import Site
from trainers import inspection


def test_answers_are_compressed_where_a_client_can_read_it(site: Site) -> None:
    path = f"/api/searches/{site.done}/trials?limit=500"
    with site.api.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
        assert answer.headers["Content-Encoding"] == "gzip"
    plain = site.api.get(path, headers={"Accept-Encoding": "identity"})
    assert json.loads(gzip.decompress(packed)) == plain.json()
    assert len(packed) < len(plain.content) / 3


def test_every_path_of_the_document_is_locked_but_for_the_public_ones(site: Site) -> None:
    document = site.api.get("/api/openapi.json").raise_for_status().json()
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    operations = {path: list(methods.values()) for path, methods in document["paths"].items()}
    opened = {path for path, found in operations.items() if any(each.get("security") == [] for each in found)}
    assert opened == {"/healthz", "/readyz"}
    assert "/api/searches/{id}" in operations


def test_the_database_is_closed_when_no_thread_uses_it_any_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a connection that comes back later is closed by nobody."""
    prepare(settings.database_url)
    started, ending, events = threading.Event(), threading.Event(), list[str]()

    def recover(_: object, engine: Engine, **others: Any) -> None:
        with engine.connect():
            started.set()
            ending.wait(10)
            time.sleep(0.2)
        events.append("given back")

    close = Database.close
    monkeypatch.setattr(recovery, "recover", recover)
    monkeypatch.setattr(app, "_warm_up", lambda: None)  # for which the service would wait
    monkeypatch.setattr(inspection, "end_children", ending.set)
    monkeypatch.setattr(Database, "close", lambda database: events.append("closed") or close(database))
    with TestClient(app.create_app(settings)):
        assert started.wait(10)
    assert events == ["given back", "closed"]
