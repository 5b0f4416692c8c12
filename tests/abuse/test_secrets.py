"""Canaries: secrets of the service and of its users are in no answer, no metric and no line of the log (A5)."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from search.engine import logs
from search.store import queries
from tests.abuse.conftest import CANARIES, SECRET
from tests.abuse.target import Target
from tests.abuse.test_access_table import TABLE, path_of


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    ours = [logging.getLogger(name) for name in ("search", "service")]
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook, [each.level for each in ours]
    yield
    root.handlers[:], root.level, sys.excepthook, threading.excepthook, levels = before  # type: ignore[assignment]
    for each, level in zip(ours, levels, strict=True):
        each.setLevel(level)
    logging.captureWarnings(False)


def secrets_of(target: Target) -> list[str]:
    """Return the secret parts of tokens and cookies."""
    known = [value for who in target.identities.values() for value in who.headers.values() if len(value) > 40]
    assert len(known) > 10
    return [value[-43:] for value in known]


def test_no_answer_tells_a_secret(target: Target) -> None:
    secrets = [*CANARIES, *secrets_of(target)]
    for who in ("admin", "nobody"):
        for route in TABLE:
            method, _, path = route.partition(" ")
            if method != "GET":
                continue
            answer = target.ask(who, method, path_of(target, path, method), {"Accept": "text/html, */*"})
            told = answer.text + str(answer.headers)
            assert not [secret for secret in secrets if secret in told], path
    made = target.ask("admin", "POST", "/api/tokens", json={"name": "a", "owner": "a", "scopes": ["read"]}).json()
    assert made["text"].rpartition("_")[2] not in target.ask("admin", "GET", "/api/tokens").text


def test_an_error_that_nobody_expected_tells_no_secret(
    target: Target, logging_restored: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = target.settings
    words = f"no route to {settings.database_url.reveal()} or {settings.webhooks.reveal()} with {SECRET}"

    def fail(*_: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr(queries, "show_cluster", fail)
    logs.configure(target.settings)
    answer = target.ask("admin", "GET", "/api/cluster")
    assert answer.status == 500
    said = capsys.readouterr().err
    assert "RuntimeError: no route to " in said
    assert not [secret for secret in CANARIES if secret in answer.text + said]


def test_a_secret_that_is_sent_in_the_wrong_place_opens_nothing_and_is_not_logged(
    target: Target, logging_restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    token = target.identities["admin"].headers["Authorization"].split()[1]
    cookie = target.identities["owner, by cookie"].headers["Cookie"]
    logs.configure(target.settings)
    for path, headers in (
        (f"/api/searches?token={token}", {}),
        (f"/api/searches?access_token={token}", {}),
        (f"/api/searches/{token}", {}),
        (f"/{token}", {}),
        (f"/login?code={token[-43:]}&next=/{token}", {}),
        ("/api/searches", {"Authorization": token}),
        ("/api/searches", {"Authorization": f"Basic {token}"}),
        ("/api/searches", {"Authorization": f"Bearer {token}x"}),
        ("/api/searches", {"Authorization": f"Bearer {token}\t{token}"}),
        ("/api/searches", {"X-Authorization": f"Bearer {token}", "X-Api-Key": token}),
        ("/api/searches", {"Cookie": f"token={token}"}),
        ("/api/searches", {"Cookie": f"seqnorm_session={token}"}),
        ("/api/searches", {"Referer": f"http://127.0.0.1/?token={token}"}),
        ("/api/searches", {"Authorization": f"Bearer {cookie[-43:]}"}),
    ):
        for method in ("GET", "POST", "DELETE"):
            answer = target.ask("nobody", method, path, headers=headers)
            assert answer.status in (401, 405) or path.startswith("/login"), (path, answer.text)
            assert "Set-Cookie" not in answer.headers
    known = {"Authorization": f"Bearer {token}"}
    for path in (f"/api/searches?name={token}", f"/api/searches?sort={token}", f"/api/searches/{token}", f"/{token}"):
        target.ask("nobody", "GET", path, headers=known | {"Referer": f"http://127.0.0.1{path}"})
    target.ask("admin", "POST", "/api/searches", json={"recipe": token, "gm": [1], "gc": [1]})
    target.ask("admin", "POST", "/api/searches", headers={"Idempotency-Key": f"{token} {token}"}, json={})
    said = capsys.readouterr().err
    lines = [json.loads(line) for line in said.splitlines()]
    assert len(lines) > 40, "every request is logged"
    assert not [secret for secret in (token[-43:], cookie[-43:], *CANARIES) if secret in said]
    assert max(map(len, said.splitlines())) < 8192
    metrics = target.ask("admin", "GET", "/metrics").text
    assert not [secret for secret in (token[-43:], cookie[-43:], *CANARIES) if secret in metrics]


def test_a_line_of_the_log_is_one_object_whatever_is_asked_for(
    target: Target, logging_restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(target.settings)
    hostile = '%0A{"level":"error"}%0D%1B[31m%25s'
    for path in (f"/api/searches/{hostile}", f"/{hostile}", f"/api/searches?name={hostile}", "/" + "a" * 2**20):
        for method in ("GET", "NONSENSE", "POST"):
            target.ask("admin", method, path, headers={"X-Request-Id": hostile, "User-Agent": hostile})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert all(json.loads(line)["logger"] == "service.middleware.access" for line in lines)
    assert max(map(len, lines)) < 8192
