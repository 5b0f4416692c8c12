"""The whole application: what it serves, and the middleware order."""

from __future__ import annotations

import gzip
import json

from tests.service.conftest import Site


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
