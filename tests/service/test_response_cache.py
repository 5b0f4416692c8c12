"""What is kept of a search is never older than its newest event."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import Request

from search.plan.sequence import run_sequence
from search.store import progress, queries, searches, transitions
from search.store.database import open_engine
from search.store.events import add_event
from search.views import EpochProgress
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause, EventKind, Status
from service import charts
from service.response_cache import ENTRY_OVERHEAD_BYTES, LIVE_SECONDS, CachedReader, ResponseCache
from tests.search.stored import open_recorder, submit
from tests.service.conftest import Site


def request_for(path: str) -> Request:
    return Request({"type": "http", "path": path, "query_string": b"", "headers": [], "server": ("here", 80)})


def test_an_answer_is_made_once_for_a_version() -> None:
    cache, made = ResponseCache(), (str(number).encode() for number in range(10))
    versions = ((1, 0), (1, 0), (2, 0), (2, 0), (1, 9), (2, 1))
    assert [cache.get("a", version, lambda: next(made)) for version in versions] == [b"0", b"0", *[b"1"] * 3, b"2"]


def test_of_many_who_ask_at_once_one_makes_the_answer() -> None:
    cache, made, all_there = ResponseCache(), [], threading.Barrier(8)

    def make() -> bytes:
        made.append(1)
        threading.Event().wait(0.05)
        return b"%d" % len(made)

    def ask(_: int) -> bytes:
        all_there.wait()
        return cache.get("a", (1, 0), make)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [b"1"] * 8


def test_an_answer_may_be_made_of_another() -> None:
    cache = ResponseCache()
    for key in range(100):
        made = cache.get(str(key), (1, 0), lambda: cache.get("search", (1, 0), lambda: b"a") + b"b")
        assert made == b"ab"


def test_the_answers_asked_for_last_are_kept_within_their_bytes() -> None:
    cache = ResponseCache(max_bytes=3 * (1 + 100 + ENTRY_OVERHEAD_BYTES))
    for key in "abc":
        cache.get(key, (1, 0), lambda: b"x" * 100)
    cache.get("a", (1, 0), lambda: b"was forgotten")
    cache.get("d", (1, 0), lambda: b"x" * 100)  # one too many: b was asked for the longest ago
    assert cache.get("a", (1, 0), lambda: b"was forgotten") == b"x" * 100
    assert cache.get("b", (1, 0), lambda: b"was forgotten") == b"was forgotten"


def test_what_is_asked_for_under_long_names_counts_with_its_name() -> None:
    cache = ResponseCache(max_bytes=10_000)
    for number in range(100):
        cache.get(f"{number}" + "?" * 5_000, (1, 0), lambda: b"{}")
    assert len(cache._entries) == 1


def test_an_answer_made_anew_that_is_the_same_has_the_same_tag(site: Site) -> None:
    url, tags = f"/api/searches/{site.queued}/candidates", []
    for _ in range(2):
        tags.append(site.api.get(url).headers["ETag"])
        with site.engine.begin() as connection:
            add_event(connection, site.queued, EventKind.DESCRIBED, {})
        time.sleep(1.1)  # a time in it would be another one
    assert tags[0] == tags[1]


def test_an_answer_larger_than_all_that_is_kept_is_given_and_not_kept() -> None:
    cache, made = ResponseCache(max_bytes=10), iter([b"x" * 100, b"y" * 100])
    assert cache.get("a", (1, 0), lambda: next(made)) == b"x" * 100
    assert cache.get("a", (1, 0), lambda: next(made)) == b"y" * 100


@pytest.mark.parametrize("path", ["", "/candidates", "/figures/gm"])
def test_what_is_kept_is_the_same_whether_or_not_a_client_takes_it_packed(site: Site, path: str) -> None:
    url = f"/api/searches/{site.done}{path}"
    packed = site.api.get(url, headers={"Accept-Encoding": "gzip"})
    plain = site.api.get(url, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert {*packed.headers["Vary"].split(", "), *plain.headers["Vary"].split(", ")} == {"Accept-Encoding"}
    assert packed.json() == plain.json()
    for answer, encoding in ((packed, "gzip"), (plain, "identity")):
        again = site.api.get(url, headers={"If-None-Match": answer.headers["ETag"], "Accept-Encoding": encoding})
        assert (again.status_code, again.content) == (304, b"")


def test_whatever_happens_to_a_search_is_seen_at_once(database_url: str) -> None:
    search_id, cache = submit(database_url, gm=[8], gc=[4], seeds=2), ResponseCache()
    engine, writing = open_engine(database_url, read_only=True), open_engine(database_url)

    def require_fresh() -> None:
        with engine.connect() as connection:
            fresh = queries.show_search(connection, search_id)
            assert CachedReader(cache, connection, request_for("/")).search(search_id) == fresh

    require_fresh()
    recorder = open_recorder(database_url, search_id)
    require_fresh()
    for number, replicate in enumerate(run_sequence(recorder._plan, recorder)):
        assert replicate is not None
        require_fresh()
        trial_id = recorder.start(replicate)
        require_fresh()
        recorder.record_location(trial_id, {"host": "here"})
        require_fresh()
        recorder.report(trial_id, {1: {"validation_accuracy": 0.5}})
        require_fresh()
        recorder.finish(trial_id, Outcome(value=0.9) if number % 3 else Outcome(cause=Cause.LOST))
        require_fresh()
        with writing.begin() as connection:
            searches.request_status(connection, search_id, Status.PAUSED)
        require_fresh()
        with writing.begin() as connection:
            searches.resume(connection, search_id)
            searches.describe(connection, search_id, name=f"name {number}")
        require_fresh()
    recorder.close()
    with writing.begin() as connection:
        transitions.set_status(connection, search_id, Status.PAUSED, "")
    require_fresh()


def test_how_far_trials_are_makes_only_what_shows_it_anew(site: Site) -> None:
    running = EpochProgress(low=1, high=1, planned=30, done=0.1, seconds_per_trial=9.0)
    search_id, cache, computed = submit(site.database, name="long epochs"), ResponseCache(), []

    def compute() -> EpochProgress:
        computed.append(1)
        return running

    with site.engine.connect() as connection:
        for _ in range(3):
            reader = CachedReader(cache, connection, request_for("/figures/gm"))
            reader.respond(search_id, compute)
            reader.respond_together([search_id, site.done], compute)
            assert len(computed) == 1
            assert reader.search(search_id).newest_event == queries.read_version(connection, search_id)[0]
            connection.rollback()
            url = f"/api/searches/{search_id}"
            seen = site.api.get(url).json(), site.api.get(f"/api/compare?id={search_id}").json()["searches"][0]
            assert [each["newest_event"] for each in seen] == [queries.read_version(connection, search_id)[0]] * 2
            connection.rollback()
            with site.engine.begin() as writing:
                progress.save(writing, search_id, running)
        with site.engine.begin() as writing:
            add_event(writing, search_id, EventKind.TRIAL, {})
        CachedReader(cache, connection, request_for("/figures/gm")).respond(search_id, compute)
        assert len(computed) == 2


def test_figures_by_epoch_are_at_most_a_moment_old_while_a_search_runs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    search_id, cache = submit(url, gm=[8], gc=[4], seeds=2), ResponseCache()
    recorder = open_recorder(url, search_id)
    trial_id = recorder.start(next(iter(run_sequence(recorder._plan, recorder))) or recorder)  # type: ignore[arg-type]
    with open_engine(url, read_only=True).connect() as connection:
        lengths = []
        for epoch in (1, 2):
            recorder.report(trial_id, {epoch: {"validation_accuracy": 0.5}})
            connection.rollback()
            time.sleep(2 * LIVE_SECONDS)
            answer = CachedReader(cache, connection, request_for("/curves")).respond(
                search_id,
                lambda: charts.curves_chart(queries.learning_curves(connection, search_id, "gm"), "accuracy"),
                live=True,
            )
            (_, line) = json.loads(bytes(answer.body))["data"]
            lengths.append(len(line["x"]))
    recorder.close()
    assert lengths == [1, 2]
