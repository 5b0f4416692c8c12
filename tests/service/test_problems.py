"""Errors as problem details, each with the rule, what was received, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.testclient import TestClient

from search.settings import Settings
from search.vocabulary.errors import Conflict, Denied, InvalidSpec, NotFound, StoreUnavailable
from service.app import create_app
from service.problems import add_error_handlers
from tests.service.api.answers import refused
from tests.service.conftest import Site


def test_a_database_that_does_not_answer_is_said_to_be_so(tmp_path: Path) -> None:
    nowhere = Settings(home=tmp_path, db="postgresql+psycopg://nobody@127.0.0.1:9/none?connect_timeout=2")
    with TestClient(create_app(nowhere), base_url="http://127.0.0.1") as client:
        for path in ("/api/searches", "/metrics", "/"):
            answer = client.get(path, headers={"Authorization": "Bearer seqnorm_000000000000_" + "A" * 43})
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2"), path
            assert answer.json()["detail"].startswith("the database must respond")
        assert client.get("/healthz").json() == {"status": "ok"}, "it needs no database"
        answer = client.get("/readyz")
        assert (answer.json()["database"], answer.headers["Retry-After"]) == ("does not answer", "2")


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/searches/nowhere", 404, "no search has the id 'nowhere'. List them with: GET /api/searches"),
        ("/api/nothing", 404, "nothing is at '/api/nothing'"),
        ("/api/searches?status=sleeping", 422, "status should be 'queued', 'running'"),
        ("/api/searches?limit=0", 422, "limit should be greater than or equal to 1"),
        (
            "/api/searches?cursor=junk",
            422,
            "cursor must be the next of an earlier page with the same sort: got 'junk'. Leave it out.",
        ),
        ("/api/searches/{grid}/figures/gm", 422, "the stage must be a tuning stage of this search: got gm."),
    ],
)
def test_errors_are_problem_details(site: Site, path: str, status: int, detail: str) -> None:
    problem = refused(site, path.format(grid=site.grid))
    assert problem["status"] == status
    assert problem["detail"].startswith(detail)


class Body(BaseModel):
    """What the route of these tests takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    size: int


@pytest.fixture
def client() -> TestClient:
    """A client of a small application whose errors are problems."""
    app = FastAPI()
    add_error_handlers(app)
    raised = {"invalid": InvalidSpec, "missing": NotFound, "busy": Conflict, "denied": Denied, "down": StoreUnavailable}

    @app.get("/api/{error}")
    def fail(error: str) -> None:
        raise raised.get(error, RuntimeError)(f"{error} <b>é</b>")

    @app.get("/{error}")
    def fail_on_a_page(error: str) -> None:
        fail(error)

    @app.post("/api/bodies")
    def take(body: Body) -> int:
        return body.size

    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        ("invalid", 422, "Invalid request"),
        ("missing", 404, "Not found"),
        ("busy", 409, "Conflict"),
        ("denied", 403, "Not allowed"),
        ("down", 503, "Unavailable"),
    ],
)
def test_an_error_of_the_program_has_a_status_and_says_what_it_says(
    client: TestClient, error: str, status: int, title: str
) -> None:
    answer = client.get(f"/api/{error}", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert ("Retry-After" in answer.headers) == (status == 503)
    detail = f"{error} <b>é</b>"
    assert answer.json() == {"type": "about:blank", "title": title, "status": status, "detail": detail}
    assert answer.content.isascii(), "what was received may be quoted, and not every text can be encoded"


def test_of_an_error_nobody_expected_strangers_learn_nothing(client: TestClient) -> None:
    answer = client.get("/api/secret")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "an unexpected error; its traceback is in the service's log"


def test_a_person_who_looks_at_pages_gets_one(client: TestClient) -> None:
    answer = client.get("/missing", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text
    assert "missing &lt;b&gt;é&lt;/b&gt;" in answer.text
    assert client.get("/missing").json()["title"] == "Not found", "a program gets none"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}", "size is required: got nothing."),
        (b'{"size": "3"}', "size must be a whole number: got '3'."),
        (b'{"size": 3, "colour": "red"}', "colour is not a field of a search: got 'red'. Known: size."),
        (b"[]", "the body must be a JSON object: got something else. Send it as application/json."),
        (b"{", "the body must be a JSON object: got something else. Send it as application/json."),
        (b"[" * 100_000, "the body must be JSON of ordinary depth and size: got deep nesting"),
    ],
    ids=["nothing", "of another type", "unknown", "a list", "cut", "deep"],
)
def test_a_body_that_is_refused_is_told_by_its_field(client: TestClient, content: bytes, said: str) -> None:
    answer = client.post("/api/bodies", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said), answer.json()["detail"]
    assert client.post("/api/bodies", json={"size": 3}).json() == 3
