"""What Prometheus scrapes: its format, that it counts, and who may read it."""

from __future__ import annotations

import time
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from search.settings import Settings
from search.store import deliveries, searches
from search.vocabulary.states import Status
from tests.search.stored import submit
from tests.service.conftest import Site, free_port, serving

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(api: httpx2.Client) -> Samples:
    """Read all metrics as Prometheus does."""
    accepts = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    answer = api.get("/metrics", headers={"Accept": accepts})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.documentation for family in families)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def read(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"seqnorm_{name}", frozenset(labels.items())), 0.0)


def requests(samples: Samples, route: str, method: str = "GET", status: int = 200) -> float:
    return read(samples, "http_requests_total", route=route, method=method, status=str(status))


def test_requests_are_counted_by_the_template_of_their_route(site: Site) -> None:
    before = scrape(site.api)
    site.api.get(f"/api/searches/{site.done}/trials/gm/0")
    site.api.get(f"/api/searches/{site.done}/trials/gm/1")
    site.api.get("/api/searches/nowhere?name=secret")
    site.api.post(f"/api/searches/{site.done}/pause")
    site.api.get("/static/style.css")
    site.api.get("/")
    site.api.request("BREW", "/api/searches")
    site.api.get("/nothing/here")
    with httpx2.Client(base_url=site.url) as stranger:
        stranger.get("/api/searches")
    after = scrape(site.api)

    def more(*of: str | int) -> float:
        return requests(after, *of) - requests(before, *of)  # type: ignore[arg-type]

    assert more("/api/searches/{id}/trials/{stage}/{number}") == 2
    assert more("/api/searches/{id}", "GET", 404) == 1
    assert more("/api/searches/{id}/pause", "POST", 409) == 1
    assert more("/static/{path}") == 1
    assert more("/") == 1
    assert more("/api/searches", "other", 405) == 1
    assert more("none", "GET", 404) == 1
    assert more("none", "GET", 401) == 1
    assert more("/metrics") == 1  # the first scrape itself
    labels = {value for _, found in after for name, value in found if name == "route"}
    assert not any(site.done in value or "nowhere" in value or "secret" in value for value in labels)


def test_durations_are_counted_into_buckets(site: Site) -> None:
    route = {"route": "/api/recipes", "method": "GET"}
    before = scrape(site.api)
    site.api.get("/api/recipes")
    after = scrape(site.api)
    for name, labels in (("count", route), ("bucket", {**route, "le": "+Inf"}), ("bucket", {**route, "le": "10.0"})):
        name = f"http_request_duration_seconds_{name}"
        assert read(after, name, **labels) == read(before, name, **labels) + 1
    name = "http_request_duration_seconds_sum"
    assert 0 < read(after, name, **route) - read(before, name, **route) < 10


def test_an_open_stream_is_counted_until_it_ends(site: Site) -> None:
    _wait_for_streams(site, 0)  # those of pages that were just closed
    with site.api.stream("GET", f"/api/searches/{site.queued}/events") as answer:
        lines = answer.iter_lines()
        assert any(line.startswith("data:") for line in lines)
        assert read(scrape(site.api), "streams") == 1
    _wait_for_streams(site, 0)


def _wait_for_streams(site: Site, count: int) -> None:
    deadline = time.monotonic() + 10
    while read(scrape(site.api), "streams") != count:
        assert time.monotonic() < deadline, "other streams are counted"


def test_a_request_that_fails_unexpectedly_counts_as_500(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=free_port(), worker=0)
    broken = (
        "from service import __main__ as main\nfrom service.pages import routes\n"
        "@routes.router.get('/broken')\n"
        "def broken(): raise RuntimeError\n"
        "main.main()"
    )
    with serving(settings, broken):
        headers = {"Authorization": f"Bearer {settings.token_file.read_text().strip()}"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{settings.port}", headers=headers) as api:
            assert api.get("/broken", headers={"Connection": "close"}).status_code == 500
            assert requests(scrape(api), "/broken", "GET", 500) == 1


def test_the_process_itself_is_measured(site: Site) -> None:
    samples = scrape(site.api)
    assert samples["process_resident_memory_bytes", frozenset()] > 1e6
    assert samples["process_open_fds", frozenset()] > 3


def test_a_scrape_tells_what_the_store_holds(site: Site) -> None:
    before = scrape(site.api)
    search_id = submit(site.database)
    after = scrape(site.api)
    assert read(after, "searches", status="queued") == read(before, "searches", status="queued") + 1
    assert read(after, "queue_wait_seconds") > 0
    for name in ("running", "paused", "failed", "cancelled"):
        assert ("seqnorm_searches", frozenset({("status", name)})) in after, "there are none, which is a number too"
    with site.engine.begin() as connection:
        searches.request_status(connection, search_id, Status.CANCELLED)


def test_deliveries_of_webhooks_are_counted(site: Site) -> None:
    before, search_id = scrape(site.api), submit(site.database)
    with site.engine.begin() as connection:
        deliveries.register_target(connection, "a target")
        searches.request_status(connection, search_id, Status.CANCELLED)
        (item,) = deliveries.find_pending(connection, "a target")
        deliveries.add_pending(connection, "a target", [(item, "{}")])
    after = scrape(site.api)
    for state, more in (("waiting", 1), ("delivered", 0), ("given_up", 0)):
        counted = read(after, "webhook_deliveries", state=state) - read(before, "webhook_deliveries", state=state)
        assert counted == more
