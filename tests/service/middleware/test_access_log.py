"""Every request is measured by the template of its route, and logged where that is asked for."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.staticfiles import StaticFiles
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from search.store.counts import Counts
from service.middleware.access_log import AccessLogMiddleware
from service.middleware.metrics import Metrics

NOTHING = Counts(searches={}, trials={}, workers=0, deliveries={}, longest_wait=0.0)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda: 0)


def client_of(metrics: Metrics, *, logs: bool = False) -> TestClient:
    """Return a client of a small application whose requests are measured."""
    router, app = APIRouter(), FastAPI()

    @router.get("/searches/{id}")
    def show(request: Request, id: str) -> str:
        request.state.caller = SimpleNamespace(token=SimpleNamespace(id="0123456789ab"))
        return id

    @router.get("/broken")
    def broken() -> None:
        raise RuntimeError("on purpose")

    app.include_router(router, prefix="/api")
    app.mount("/static", StaticFiles(packages=[("service", "static")]))
    app.add_middleware(AccessLogMiddleware, metrics=metrics, log_requests=logs)
    return TestClient(app, raise_server_exceptions=False)


def counted(metrics: Metrics) -> list[tuple[str, str, str]]:
    """Return route, method and status of what was counted, in that order."""
    families = text_string_to_metric_families(metrics.exposition(NOTHING).decode())
    samples = [sample for family in families for sample in family.samples if sample.value]
    labels = [sample.labels for sample in samples if sample.name == "seqnorm_http_requests_total"]
    return sorted((each["route"], each["method"], each["status"]) for each in labels)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/searches/abc?name=secret", ("/api/searches/{id}", "GET", "200")),
        ("PUT", "/api/searches/abc", ("/api/searches/{id}", "PUT", "405")),
        ("BREW", "/api/searches/abc", ("/api/searches/{id}", "other", "405")),
        ("GET", "/static/style.css", ("/static/{path}", "GET", "200")),
        ("GET", "/api/broken", ("/api/broken", "GET", "500")),
        ("GET", "/nothing/here", ("none", "GET", "404")),
    ],
)
def test_a_request_is_counted_by_its_template_and_never_by_what_a_client_made_up(
    metrics: Metrics, method: str, path: str, expected: tuple[str, str, str]
) -> None:
    client_of(metrics).request(method, path)
    assert counted(metrics) == [expected]


def test_a_line_of_the_log_names_route_status_and_token(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "service.middleware.access"):
        client_of(metrics, logs=True).get("/api/searches/abc?name=secret")
        client_of(metrics, logs=False).get("/api/searches/abc")
        client_of(metrics, logs=True).get("/nothing/here")
    assert caplog.messages == ["GET /api/searches/{id} 200", "GET none 404"]
    first, second = caplog.records
    assert (first.route, first.method, first.status, first.token) == ("/api/searches/{id}", "GET", 200, "0123456789ab")
    assert 0 <= first.ms < 60_000
    assert not hasattr(second, "token"), "nobody is known to have asked"
