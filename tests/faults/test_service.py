"""Commands given at a web service while its worker dies and its database is locked."""

from __future__ import annotations

import time
from pathlib import Path
from signal import SIGKILL

import httpx2

from search.settings import Settings
from search.store.database import open_engine
from search.vocabulary.secret import Secret, SecretUrl
from tests.faults.campaign import find_leaks
from tests.faults.history import History, Response, kept_if_failed, read_journal
from tests.faults.injections import Scene, lock_database
from tests.faults.invariants import Bounds, find_violations
from tests.faults.observer import Observer
from tests.faults.people import Visitor
from tests.faults.remains import Remains, read_searches
from tests.faults.site import Site
from tests.lanes import ROOT
from tests.service.conftest import free_port

KEPT = ROOT / "faults"  # histories of runs that failed
SECRET = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmFyeQ=="
FIELDS = {"recipe": "planted", "gm": [4, 8], "gc": [2, 4], "seeds": 2, "test_seeds": 1}


def test_a_service_keeps_commands_and_secrets_and_refuses_with_problems(database_url: str, tmp_path: Path) -> None:
    home, history = tmp_path / "home", History(0)
    settings = Settings(
        home=home,
        db=SecretUrl(database_url),
        port=free_port(),
        lease_seconds=2.0,
        renew_seconds=0.5,
        webhooks=Secret(f"http://127.0.0.1:9/{SECRET}"),
        webhook_secret=Secret(SECRET),
    )
    site, engine = Site(settings, [], serves=True), open_engine(database_url)
    observer = Observer(open_engine(database_url, read_only=True), history)
    try:
        site.start()
        url = f"http://127.0.0.1:{settings.port}"
        wait_until_healthy(url, site)
        token = (home / "token").read_text().strip()
        visitor = Visitor(url, token, history)
        numbers = {"seconds": 1.0, "epochs": 4, "journal": str(tmp_path / "journal.jsonl")}
        cancelled = visitor.submit({**FIELDS, "name": "to be cancelled", "numbers": numbers}).answer
        wait_until_running(observer, cancelled, site)
        site.signal("worker", SIGKILL)
        site.signal("driver", SIGKILL)
        assert visitor.cancel(cancelled).outcome == "ok"
        assert visitor.resume(cancelled).outcome in ("ok", "refused")
        visitor.cancel(cancelled)
        done = visitor.submit({**FIELDS, "name": "to be done"}).answer
        lock_database(Scene(site, history, engine), 3.0)
        visitor.pause(done)
        visitor.resume(done)
        visitor.widen("no-such-search", {"seeds": 3})
        wait_until_quiet(engine, site)
        visitor.close()
        assert site.stop() == 0
        processes, files = map(tuple, site.left())
        leaks = tuple(file for file in find_leaks(home, [SECRET, token]) if not file.endswith("/token"))
        remains = Remains(searches=read_searches(engine), processes=processes, files=files, leaks=leaks)
        everything = History(0, [*history.records, *read_journal(tmp_path / "journal.jsonl")])
        with kept_if_failed(everything, KEPT):
            assert find_violations(everything, remains, Bounds(lease_seconds=2.0)) == [], site.logs()
        assert any(response.status >= 400 for response in history.of(Response))
    finally:
        observer.stop()
        site.close()


def wait_until_healthy(url: str, site: Site) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx2.get(f"{url}/healthz").raise_for_status()
            return
        except httpx2.HTTPError:
            assert time.monotonic() < deadline, site.logs()
            time.sleep(0.1)


def wait_until_running(observer: Observer, search_id: str, site: Site) -> None:
    deadline = time.monotonic() + 120
    while not (search_id in observer.last and "RUNNING" in observer.last[search_id].trials.values()):
        assert time.monotonic() < deadline, site.logs()
        time.sleep(0.05)


def wait_until_quiet(engine, site: Site) -> None:
    deadline = time.monotonic() + 120
    while not all(search.ended for search in read_searches(engine)):
        assert time.monotonic() < deadline, site.logs()
        time.sleep(0.2)
