"""Static files are compressed once, whoever asks."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from service import static_files
from service.static_files import CompressedStaticFiles


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "script.js"
    file.write_text("// a script\n" * 1000)
    return file


def test_a_file_is_compressed_once_until_it_changes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(Starlette(routes=[Mount("/", CompressedStaticFiles(directory=file.parent))]))
    compressed, compress = [], gzip.compress
    monkeypatch.setattr(static_files.gzip, "compress", lambda *a, **k: (compressed.append(a), compress(*a, **k))[1])
    for words in ("// a script\n", "// another\n"):
        file.write_text(words * 1000)
        for _ in range(3):
            answer = client.get("/script.js", headers={"Accept-Encoding": "gzip"})
            assert (answer.text, answer.headers["Content-Encoding"]) == (words * 1000, "gzip")
            assert answer.headers["Content-Type"].startswith("text/javascript")
    assert len(compressed) == 2


def test_who_has_it_or_cannot_read_gzip_gets_no_gzip(file: Path) -> None:
    client = TestClient(Starlette(routes=[Mount("/", CompressedStaticFiles(directory=file.parent))]))
    plain = client.get("/script.js", headers={"Accept-Encoding": "identity"})
    assert (plain.text, "Content-Encoding" in plain.headers) == (file.read_text(), False)
    first = client.get("/script.js", headers={"Accept-Encoding": "gzip"})
    again = client.get("/script.js", headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/nothing.js").status_code == 404
