"""Webhooks: each status is told to each target, signed, at least once, whatever fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select, update

from search.actions import webhooks
from search.actions.webhooks import Sender, Senders, signature
from search.settings import Settings, to_environment
from search.store import deliveries, searches, tables, transitions
from search.store.database import open_engine
from search.store.schema import upgrade
from search.vocabulary.states import Status
from tests.search.program import processes_of
from tests.search.scripted import Received, hangs_up, says, serving, text
from tests.search.stored import finished_search, submit

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def sender(database_url: str, url: str) -> Sender:
    """Make a sender as a worker does, with connections of its own, and have its target known."""
    upgrade(database_url)
    settings = Settings(db=database_url, webhooks=url, webhook_secret=SECRET)
    (target,) = settings.webhook_urls
    made = Sender(settings, target, open_engine(database_url), open_engine(database_url, read_only=True))
    made.send_one()
    return made


def request(database_url: str, search_id: str, status: str) -> None:
    with open_engine(database_url).begin() as connection:
        searches.request_status(connection, search_id, Status(status))


def send_all(sender: Sender, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline, "the target was not told"
        if not sender.send_one():
            time.sleep(0.01)


def verify(received: Received) -> dict[str, Any]:
    """Check a delivery as its receiver does; return what it says."""
    message_id, timestamp = received.headers["webhook-id"], received.headers["webhook-timestamp"]
    signed = f"{message_id}.{timestamp}.".encode() + received.content
    digest = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert received.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert abs(time.time() - int(timestamp)) < 60
    assert received.headers["content-type"] == "application/json"
    assert received.body["id"] == message_id
    body: dict[str, Any] = received.body
    return body


def stored(database_url: str) -> list[Any]:
    with open_engine(database_url).connect() as connection:
        return list(connection.execute(select(tables.deliveries).order_by(tables.deliveries.c.event_id)))


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    said = signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}')
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_search_that_is_done_is_told_with_what_it_chose(database_url: str) -> None:
    with serving(says({})) as target:
        tells = sender(database_url, target.url + "/hook?key=1")
        search_id = finished_search(database_url, name="ä name")
        send_all(tells, lambda: bool(target.received))
        assert not tells.send_one(), "once is enough"
    (received,) = target.received
    assert (received.method, received.path) == ("POST", "/hook?key=1")
    said = verify(received)
    created_at = said.pop("created_at")
    assert created_at.endswith("+00:00")
    assert said == {
        "id": said["id"],
        "type": "search.done",
        **{"search": search_id, "name": "ä name", "status": "done", "reason": "", "owner": "local"},
        "chosen": {"variant": "main", "gm": 8, "gc": 4},
    }
    (row,) = stored(database_url)
    assert (row.state, row.attempts, row.said) == ("delivered", 1, "HTTP 200")
    assert target.url not in "".join(map(str, row)), "a URL may hold secrets"


def test_searches_that_fail_pause_or_are_cancelled_are_told_and_those_that_wait_or_run_are_not(
    database_url: str,
) -> None:
    with serving(says({})) as target:
        tells = sender(database_url, target.url)
        search_id = submit(database_url)
        with open_engine(database_url).begin() as connection:
            for status in ("paused", "queued", "failed", "queued", "running", "cancelled"):
                transitions.set_status(connection, search_id, Status(status), f"{status} for a reason")
        send_all(tells, lambda: len(target.received) == 3)
        assert not tells.send_one()
    told = [verify(received) for received in target.received]
    assert [said["type"] for said in told] == ["search.paused", "search.failed", "search.cancelled"]
    assert [said["status"] for said in told] == ["paused", "failed", "cancelled"], "as it was, not as it is"
    assert told[0]["reason"] == "paused for a reason"
    assert told[0]["chosen"] is None
    assert len({said["id"] for said in told}) == 3


def test_what_happened_before_a_target_was_named_is_not_told(database_url: str) -> None:
    earlier = submit(database_url)
    request(database_url, earlier, "paused")
    with serving(says({})) as target:
        tells = sender(database_url, target.url)
        search_id = submit(database_url)
        request(database_url, search_id, "paused")
        send_all(tells, lambda: bool(target.received))
        assert not tells.send_one()
    assert [received.body["search"] for received in target.received] == [search_id]


def test_every_target_is_told(database_url: str) -> None:
    with serving(text("no", 500)) as one, serving(says({})) as other:
        senders = [sender(database_url, target.url) for target in (one, other)]
        request(database_url, submit(database_url), "cancelled")
        for tells, target in zip(senders, (one, other), strict=True):
            send_all(tells, lambda target=target: bool(target.received))  # type: ignore[misc]
    assert one.received[0].body == other.received[0].body
    assert sorted(row.state for row in stored(database_url)) == ["delivered", "waiting"]


def test_a_target_that_fails_is_told_again_with_the_same_id_and_body(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "FIRST_WAIT", 0.01)
    fails = [text("no", 500), hangs_up, text("", 302, Location="/elsewhere"), text("", 404), says({})]
    with serving(*fails) as target:
        tells = sender(database_url, target.url)
        search_id = submit(database_url)
        request(database_url, search_id, "paused")
        with open_engine(database_url).begin() as connection:
            searches.describe(connection, search_id, name="another name")
        send_all(tells, lambda: stored(database_url) != [] and stored(database_url)[0].state == "delivered")
    assert len(target.received) == 5
    assert {received.path for received in target.received} == {"/"}, "a redirect is not followed"
    assert len({received.headers["webhook-id"] for received in target.received}) == 1
    assert len({received.content for received in target.received}) == 1
    for received in target.received:
        verify(received)


def test_attempts_are_ever_further_apart_and_given_up_after_a_day(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(text("no", 503)) as target:
        tells = sender(database_url, target.url)
        request(database_url, submit(database_url), "paused")
        waits = []
        for attempt in range(1, webhooks.MAX_ATTEMPTS + 1):
            assert tells.send_one()
            (row,) = stored(database_url)
            assert (row.attempts, row.said) == (attempt, "HTTP 503")
            with open_engine(database_url).begin() as connection:
                left = select(tables.deliveries.c.next_at - deliveries.now())
                waits.append(connection.execute(left).scalar_one())
                assert not deliveries.is_due(connection, row.target) or row.state == "given_up"
                connection.execute(update(tables.deliveries).values(next_at=0.0))
        assert row.state == "given_up"
        assert not tells.send_one()
    assert len(target.received) == webhooks.MAX_ATTEMPTS
    assert waits[:4] == pytest.approx([5, 10, 20, 40], abs=2)
    assert 20 * 3600 < sum(waits[:-1]) < 26 * 3600
    assert "was not taken by 127.0.0.1: HTTP 503; it is given up" in caplog.records[-1].getMessage()
    with open_engine(database_url).connect() as connection:
        assert deliveries.count_by_state(connection) == {"waiting": 0, "delivered": 0, "given_up": 1}


def test_senders_in_several_workers_send_nothing_twice(database_url: str) -> None:
    with serving(says({})) as target:
        senders = [sender(database_url, target.url) for _ in range(4)]
        ids = [submit(database_url) for _ in range(12)]
        for search_id in ids:
            request(database_url, search_id, "paused")
        with ThreadPoolExecutor(4) as pool:
            done = lambda: len(target.received) >= len(ids)  # noqa: E731
            list(pool.map(lambda tells: send_all(tells, done), senders))
        assert not any(tells.send_one() for tells in senders)
    assert sorted(received.body["search"] for received in target.received) == sorted(ids)


def test_a_delivery_whose_sender_died_is_sent_when_its_claim_has_lapsed(database_url: str) -> None:
    with serving(says({})) as target:
        tells = sender(database_url, target.url)
        request(database_url, submit(database_url), "paused")
        tells._collect_events()
        with open_engine(database_url).begin() as connection:
            claimed = deliveries.claim(connection, tells._target, 60)
            assert claimed
            assert deliveries.claim(connection, tells._target, 60) is None, "it is taken"
        assert not tells.send_one()
        _let_pass(database_url, 60)
        send_all(tells, lambda: bool(target.received))
        assert target.received[0].headers["webhook-id"] == claimed.id
        with open_engine(database_url).begin() as connection:
            deliveries.mark_failed(connection, claimed, "too late", 0.0)
        assert [row.state for row in stored(database_url)] == ["delivered"]


def test_after_a_weekend_without_a_worker_what_waits_is_sent(database_url: str) -> None:
    with serving(text("no", 503), says({})) as target:
        tells = sender(database_url, target.url)
        request(database_url, submit(database_url), "paused")
        assert tells.send_one()
        _let_pass(database_url, 3 * deliveries.DAY_SECONDS)
        others = sender(database_url, target.url + "/another")  # its worker happens to start first
        again = sender(database_url, target.url)
        send_all(again, lambda: stored(database_url)[0].state == "delivered")
        assert not others.send_one(), "it was not there when that happened"
    assert len(target.received) == 2


def _let_pass(database_url: str, seconds: float) -> None:
    """Make everything older."""
    times = {tables.webhooks: ("since", "seen_at"), tables.events: ("at",)}
    times |= {tables.deliveries: ("created_at", "next_at")}
    with open_engine(database_url).begin() as connection:
        for table, names in times.items():
            connection.execute(update(table).values({name: table.c[name] - seconds for name in names}))


def test_what_nobody_sends_any_more_is_given_up_and_forgotten(database_url: str) -> None:
    with serving(says({})) as target:
        gone = sender(database_url, target.url + "/gone")
        old = submit(database_url)
        request(database_url, old, "paused")
        gone._collect_events()
        for passed, left in ((deliveries.TARGET_SECONDS, ["given_up"]), (deliveries.RETENTION_SECONDS, [])):
            _let_pass(database_url, passed + 60)
            sender(database_url, target.url)
            assert [row.state for row in stored(database_url)] == left
        sender(database_url, target.url + "/gone")
        assert target.received == [], "a target that comes back is told what happens from then on"


def test_a_host_that_cannot_be_asked_counts_as_an_attempt(database_url: str) -> None:
    tells = sender(database_url, "http://a..b/hook")
    request(database_url, submit(database_url), "paused")
    assert tells.send_one()
    (row,) = stored(database_url)
    assert (row.attempts, row.state) == (1, "waiting")
    assert row.said
    assert not tells.send_one(), "it waits"


def test_a_target_that_hangs_holds_up_no_other(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(webhooks, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 100.0)  # so that no wait below can be for it

    def hangs(_: Any) -> None:
        ended.wait(100)

    with serving(hangs) as one, serving(says({})) as other:
        upgrade(database_url)
        settings = Settings(home=tmp_path, db=database_url, webhooks=f"{one.url},{other.url}", webhook_secret=SECRET)
        senders = Senders(settings, open_engine(database_url))
        with open_engine(database_url).connect() as connection:
            while len(connection.execute(select(tables.webhooks)).all()) < 2:
                connection.rollback()
                time.sleep(0.05)
        ids = [submit(database_url) for _ in range(3)]
        for search_id in ids:
            request(database_url, search_id, "paused")
        deadline = time.monotonic() + 50
        while len(other.received) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(one.received) == 1
        start = time.monotonic()
        senders.stop()
        assert time.monotonic() - start < 50
        ended.set()


# The program


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # what is stored, the tests above see on both
def test_a_worker_tells_and_the_next_one_goes_on_where_it_was_killed(
    own_ray: None, database_url: str, tmp_path: Path
) -> None:
    answers = [text("no", 500), says({})]
    with serving(*answers) as target:
        url = target.url.replace("http://", "http://bob:swordfish@") + "/?key=opensesame"
        settings = Settings(
            home=tmp_path, db=database_url, webhooks=url, webhook_secret=SECRET, lease_seconds=3.0, renew_seconds=0.5
        )
        printed = tmp_path / "worker.log"
        first = _worker(settings, printed)
        try:
            _wait_for(lambda: "working on" in printed.read_text())
            _wait_for(lambda: bool(_targets(database_url)))
            search_id = submit(database_url, gm=[1], gc=[1], seeds=1, test_seeds=1, numbers={"seconds": 0.3})
            seen: dict[str, dict[str, str]] = {}
            _wait_for(lambda: _remember(seen, tmp_path) or bool(target.received), 90)
            _wait_for(lambda: "was not taken" in printed.read_text())
        finally:
            first.kill()
            first.wait()
        assert stored(database_url)[0].state == "waiting"
        second = _worker(settings, printed)
        try:
            _wait_for(lambda: len(target.received) == 2)
            _wait_for(lambda: stored(database_url)[0].state == "delivered")
        finally:
            second.terminate()
            assert second.wait(20) == 0
    told = [verify(received) for received in target.received]
    assert told[0] == told[1]
    assert (told[0]["type"], told[0]["search"]) == ("search.done", search_id)
    assert target.received[0].headers["authorization"] == "Basic " + base64.b64encode(b"bob:swordfish").decode()
    assert any("search.engine.driver" in command for command in seen), "drivers were looked at"
    assert any(command.startswith("ray::") for command in seen), "and trials"
    said = printed.read_text() + settings.driver_log(search_id).read_text()
    assert f"webhook {told[0]['id']} was not taken by 127.0.0.1: HTTP 500; it is sent again in 5 s" in said
    for secret in (SECRET, SECRET[6:], "swordfish", "opensesame"):
        assert secret not in said
        for command, environment in seen.items():
            if "search.cli" not in command:
                assert not any(secret in value for value in environment.values()), command


def _worker(settings: Settings, printed: Path) -> subprocess.Popen[bytes]:
    with printed.open("ab") as file:
        words = [sys.executable, "-m", "search.cli", "worker"]
        return subprocess.Popen(words, env=os.environ | to_environment(settings), stdout=file, stderr=file)


def _targets(database_url: str) -> list[Any]:
    with open_engine(database_url).connect() as connection:
        return list(connection.execute(select(tables.webhooks)))


def _remember(seen: dict[str, dict[str, str]], home: Path) -> None:
    """Take down the environment of every process of a home."""
    for process in processes_of(home):
        try:
            seen[" ".join(process.cmdline())] = process.environ()
        except psutil.Error:
            continue


def _wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)
