"""How much one token and one owner may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.settings import Settings
from service.accounts import limits
from service.accounts.limits import RateLimiter
from tests.search.stored import submit
from tests.service.clients import first_client
from tests.service.conftest import Site, free_port, serving

SPEC = {"recipe": "planted", "gm": [1, 2], "gc": [1], "seeds": 1}


def test_requests_beyond_the_rate_wait() -> None:
    clock = [0.0]
    rate = RateLimiter(60, lambda: clock[0])
    assert [rate.acquire("a") for _ in range(60)] == [0.0] * 60
    assert rate.acquire("a") == pytest.approx(1.0)
    assert rate.acquire("b") == 0.0
    clock[0] = 0.5
    assert rate.acquire("a") == pytest.approx(0.5)
    clock[0] = 1.5
    assert rate.acquire("a") == 0.0
    assert RateLimiter(0).acquire("a") == 0.0


def test_as_many_keys_as_there_are_hosts_take_no_more_room_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BUCKETS", 2)
    rate = RateLimiter(1)
    assert [rate.acquire(key) > 0 for key in ("a", "b", "a", "c", "a", "b")] == [False, False, True, False, True, False]


def test_limits_of_rate_and_of_what_waits_are_said(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, port=free_port(), worker=0, requests_per_minute=6, waiting_searches=2, waiting_trials=30
    )
    submit(settings.database_url, **SPEC)
    with serving(settings), first_client(settings) as api:
        first = api.post("/api/searches", json={**SPEC, "gm": [1, 2, 4, 8, 16], "seeds": 9})
        assert first.status_code == 409
        assert first.json()["detail"].startswith(
            "an owner may have 30 queued or running trials: got 66 more beside 15."
        )
        assert api.post("/api/searches", json=SPEC).status_code == 201
        third = api.post("/api/searches", json=SPEC)
        assert third.json()["detail"].startswith("an owner may have 2 queued or running searches: got 1 more beside 2.")
        answers = [api.get("/api/searches") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 11


def test_what_was_paused_is_not_resumed_past_the_limit(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=free_port(), worker=0, waiting_searches=1)
    paused = submit(settings.database_url, **SPEC)
    with serving(settings), first_client(settings) as api:
        api.post(f"/api/searches/{paused}/pause").raise_for_status()
        other = api.post("/api/searches", json=SPEC).raise_for_status().json()["search"]
        refused = api.post(f"/api/searches/{paused}/resume")
        assert refused.status_code == 409
        assert refused.json()["detail"].startswith(
            "an owner may have 1 queued or running searches: got 1 more beside 1"
        )
        api.post(f"/api/searches/{other}/cancel").raise_for_status()
        for _ in range(2):  # done again it changes nothing
            assert api.post(f"/api/searches/{paused}/resume").raise_for_status().json()["status"] == "queued"


def test_a_priority_before_others_takes_the_scope_manage(site: Site) -> None:
    with site.client("read", "submit") as api:
        refused = api.post("/api/searches", json={**SPEC, "priority": 1})
        assert refused.status_code == 403
        assert refused.json()["detail"] == (
            "priority must be at most 0 for a token without the scope manage: got 1. "
            "Leave it out, or ask the operator (SEQNORM_MAX_PRIORITY)."
        )
        for priority in (0, -5):
            assert api.post("/api/searches", json={**SPEC, "priority": priority}).status_code == 201
    with site.client("manage", "submit") as api:
        made = api.post("/api/searches", json={**SPEC, "priority": 1})
        assert made.status_code == 201
