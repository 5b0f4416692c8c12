"""Searches over REST: lists, one of them, submitting, describing, archiving, comparing."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any

import pytest

from tests.search.stored import finished_search, show, submit
from tests.service.api.answers import count, get
from tests.service.conftest import Site

SPEC: dict[str, Any] = {"recipe": "planted", "gm": [1, 2], "gc": [1], "seeds": 1}
REFUSED: list[tuple[Any, str]] = [
    ({}, "recipe is required: got nothing. Give name of an installed recipe."),
    ([], "the body must be a JSON object: got something else."),
    ({**SPEC, "recipe": "nosuch"}, "no recipe is named 'nosuch'. Known: "),
    ({**SPEC, "gm": [3]}, "gm must divide the batch: got gm=3 for "),
    ({**SPEC, "gm": "1,2"}, "gm must be a list: got '1,2'."),
    ({**SPEC, "gm": [True]}, "gm must be a whole number: got True."),
    ({**SPEC, "gm": [1.0]}, "gm must be a whole number: got 1.0."),
    ({**SPEC, "gm": [10**30]}, "gm should be less than or equal to 2147483647: got 1000"),
    ({**SPEC, "nmae": "x"}, "nmae is not a field of a search: got 'x'. Known: recipe, strategy, "),
    ({**SPEC, "name": "a\0b"}, "name must hold no control characters or lone surrogates: got 'a\\x00b'."),
    ({**SPEC, "name": "n" * 201}, "name string should have at most 200 characters"),
    ({**SPEC, "tags": ["<b>"]}, "tags string should match pattern"),
    ({**SPEC, "numbers": {"epochs": 0}}, "epochs must be at least 1 "),
    ({**SPEC, "data": "/etc/passwd"}, "data must name a data set of this service: got '/etc/passwd'. Known: "),
    ({**SPEC, "data": "../home"}, "data must name a data set of this service: got '../home'."),
    ({**SPEC, "cpus": 1e-9}, "cpus must be at least 0.1 here: got 1e-09. Ask for more, or ask the operator (SEQNORM_"),
    ({**SPEC, "cpus": 1024}, "cpus must be at most 256 here: got 1024. Ask for less, or ask the operator (SEQNORM_"),
    ({**SPEC, "trial_timeout": 1e308}, "trial_timeout must be at most 604800 here: got 1e+308. Ask for less, or ask"),
    ({**SPEC, "numbers": {"epochs": 2**31 - 1}}, "epochs must be at most 100000 (reports): got 2147483647."),
    ({**SPEC, "numbers": {"batch": 2**31 - 1}}, "batch must be at most 1048576 (samples per step): got 2147483647."),
    ({**SPEC, "numbers": {"journal": "a\0"}}, "journal must hold no control characters or lone surrogates"),
    ({**SPEC, "numbers": {f"n{i}": [] for i in range(20_000)}}, "numbers dictionary should have at most 64 items"),
    ({**SPEC, **{f"n{i}": [] for i in range(20_000)}}, "n0 is not a field of a search: got []. Known: recipe, "),
    ({**SPEC, "data": ".."}, "data must name a data set of this service: got '..'."),
]


def test_a_search_is_answered_as_the_store_shows_it(site: Site) -> None:
    assert get(site, f"/api/searches/{site.done}") == show(site.database, site.done).model_dump(mode="json")


@pytest.mark.parametrize(
    ("sort", "key", "falling"),
    [
        ("-created", "created_at", True),
        ("created", "created_at", False),
        ("name", "name", False),
        ("-name", "name", True),
    ],
)
def test_searches_are_listed_sorted_in_pages_each_once(site: Site, sort: str, key: str, falling: bool) -> None:
    rows, cursor = [], ""
    while cursor is not None:
        page = get(site, f"/api/searches?limit=2&sort={sort}&cursor={cursor}")
        rows += page["searches"]
        cursor = page["next"]
    assert {site.queued, site.grid, site.done} <= {row["search"] for row in rows}
    assert len({row["search"] for row in rows}) == len(rows)
    assert [row[key] for row in rows] == sorted((row[key] for row in rows), reverse=falling)


def test_searches_are_filtered(site: Site) -> None:
    for query, expected in (
        ("status=queued&name=waiting", [site.queued]),
        ("name=FINISHED search&status=done&owner=local", [site.done]),
        ("recipe=digits-mlp&name=waiting", []),
        ("tag=nothing", []),
        ("name=%25", []),
    ):
        assert [row["search"] for row in get(site, f"/api/searches?{query}")["searches"]] == expected, query


def test_candidates_name_the_chosen_one(site: Site) -> None:
    candidates = get(site, f"/api/searches/{site.done}/candidates")
    assert [row["gm"] for row in candidates["stages"]["gm"] if row["chosen"]] == [8]
    assert len(candidates["test"]) == 4


def test_a_submitted_search_waits_for_a_worker(site: Site) -> None:
    answer = site.api.post("/api/searches", json={**SPEC, "name": "new", "tags": ["a"], "note": "why\nnot"})
    assert answer.status_code == 201
    search_id = answer.json()["search"]
    assert answer.headers["Location"] == f"/api/searches/{search_id}"
    shown = site.api.get(answer.headers["Location"]).json()
    assert (shown["status"], shown["owner"], shown["name"], shown["tags"]) == ("queued", "local", "new", ["a"])
    assert [entry["action"] for entry in site.api.get(f"/api/audit?subject={search_id}").json()] == ["submit"]
    waiting = {row["search"]: row["why"] for row in site.api.get("/api/cluster").json()["waiting"]}
    assert waiting[search_id] == "no worker is running. The operator can start one with: seqnorm worker"


def test_a_repeated_request_is_carried_out_once(site: Site) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: site.api.post("/api/searches", json=SPEC, headers=key), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["search"] for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    again = site.api.post("/api/searches", json={"seeds": 1, **SPEC}, headers=key)
    assert again.json() == answers[0].json()
    other = site.api.post("/api/searches", json={**SPEC, "seeds": 2}, headers=key)
    assert other.status_code == 422
    assert "with another body than before" in other.json()["detail"]
    somebody = site.client("submit", "read").post("/api/searches", json=SPEC, headers=key)
    assert somebody.json()["search"] != answers[0].json()["search"]


@pytest.mark.parametrize(("body", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_searched_is_refused_with_the_reason(site: Site, body: Any, said: str) -> None:
    before = count(site)
    for path in ("/api/searches", "/api/searches/plan"):
        if path.endswith("plan") and body and "gm" in body and body["gm"] == [3]:
            continue  # a plan lists it instead
        answer = site.api.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"].startswith(said), answer.json()["detail"]
    assert count(site) == before


def test_a_plan_counts_trials_and_names_what_is_refused(site: Site) -> None:
    plan = site.api.post("/api/searches/plan", json={**SPEC, "gm": [1, 2, 3, 4], "gc": [0, 1, 2], "strategy": "grid"})
    priced = plan.json()
    assert priced["stages"] == {"grid": 12, "test": 12}
    assert (priced["trials"], priced["grid"], priced["sequential"]) == (24, 24, 4 + 2 + 12)
    assert [refused["value"] for refused in priced["refused"]] == ["gm=3"]
    assert priced["refused"][0]["reason"].startswith("gm must divide the batch: got gm=3 for ")
    sequential = site.api.post("/api/searches/plan", json={**SPEC, "gm": [1, 2, 4], "gc": [1, 2]}).json()
    assert (sequential["trials"], sequential["stages"]) == (17, {"gm": 3, "gc": 2, "test": 12})
    assert sequential["seconds"] is not None, "a finished search of the recipe tells how long its trials take"


def test_name_tags_and_note_are_changed_at_any_time(site: Site) -> None:
    search_id = site.api.post("/api/searches", json=SPEC).json()["search"]
    path = f"/api/searches/{search_id}"
    shown = site.api.patch(path, json={"name": "<i>late</i>", "tags": ["x_1", "100%".rstrip("%")]}).json()
    assert (shown["name"], shown["tags"], shown["note"]) == ("<i>late</i>", ["x_1", "100"], "")
    assert site.api.patch(path, json={"note": "seen"}).json()["name"] == "<i>late</i>"
    assert [row["search"] for row in site.api.get("/api/searches?tag=x_1").json()["searches"]] == [search_id]
    assert site.api.get("/api/searches?tag=x%251").json()["searches"] == []
    assert site.api.get("/api/searches?tag=x11").json()["searches"] == []
    for body, said in (
        ({"name": 3}, "name must be text: got 3."),
        ({"nam": "x"}, "nam is not a field of a search: got 'x'. Known: name, tags, note."),
        ({"tags": ["a b"]}, "tags string should match pattern"),
    ):
        assert site.api.patch(path, json=body).json()["detail"].startswith(said)


def test_an_archived_search_leaves_the_lists_and_stays(site: Site) -> None:
    search_id = finished_search(site.database, name="old")
    path = f"/api/searches/{search_id}"
    assert site.api.delete(path).status_code == 204
    assert site.api.delete(path).status_code == 204
    listed = {row["search"] for row in site.api.get("/api/searches?limit=500").json()["searches"]}
    assert search_id not in listed
    assert search_id in {row["search"] for row in site.api.get("/api/searches?archived=true").json()["searches"]}
    assert site.api.get(path).json()["archived_at"] is not None
    waiting = submit(site.database)
    assert site.api.delete(f"/api/searches/{waiting}").status_code == 409


def test_searches_are_compared_each_once(site: Site) -> None:
    both = f"id={site.done}&id={site.grid}"
    found = site.api.get(f"/api/compare?{both}&id={site.done}").json()["searches"]
    assert [shown["search"] for shown in found] == [site.done, site.grid]
    names = [trace["name"] for trace in site.api.get(f"/api/compare/test?{both}").json()["data"]]
    assert list(map(unescape, names)) == ["a finished search", "<b>markup</b> & 'quotes'"]
    assert "<" not in "".join(names), "Plotly would take it for markup"
    assert site.api.get("/api/compare").status_code == 422
    assert site.api.get(f"/api/compare?{both}&id=nowhere").status_code == 404
    assert site.api.get("/api/compare?" + "&".join(f"id=x{n}" for n in range(9))).status_code == 422
