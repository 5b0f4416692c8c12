"""The drawing library, as browsers load it."""

from __future__ import annotations

import re

from fastapi import FastAPI
from plotly.offline import get_plotlyjs_version
from starlette.testclient import TestClient

from service.pages.plotly_script import SCRIPT, router


def test_the_script_is_the_same_packed_and_plain() -> None:
    app = FastAPI()
    app.include_router(router)
    client = TestClient(app)
    packed = client.get("/plotly.js", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/plotly.js", headers={"Accept-Encoding": "identity"})
    assert packed.content == plain.content == SCRIPT.read_bytes()
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 2
    assert "Content-Encoding" not in plain.headers
    for answer in (packed, plain):
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == ("max-age=86400", "Accept-Encoding")


def test_the_script_in_browsers_is_of_the_plotly_that_makes_the_figures() -> None:
    (major,) = re.findall(r"plotly\.js \(cartesian - minified\) v(\d+)\.", SCRIPT.read_text()[:200])
    assert major == get_plotlyjs_version().split(".")[0]
