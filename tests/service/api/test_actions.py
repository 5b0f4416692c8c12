"""What is done to a search: pause, resume, cancel, retry, widen."""

from __future__ import annotations

from typing import Any

import pytest

from search.store import searches
from tests.service.api.answers import count
from tests.service.conftest import Site

SPEC: dict[str, Any] = {"recipe": "planted", "gm": [1, 2], "gc": [1], "seeds": 1}


def test_a_search_is_steered_and_asking_again_changes_nothing(site: Site) -> None:
    path = f"/api/searches/{site.api.post('/api/searches', json=SPEC).json()['search']}"
    for action, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        for _ in range(2):
            if action == "resume" and site.api.get(path).json()["status"] == "cancelled":
                continue
            assert site.api.post(f"{path}/{action}").json()["status"] == status
    refusal = site.api.post(f"{path}/resume")
    assert refusal.status_code == 409
    assert "only an unfinished or failed search can be resumed" in refusal.json()["detail"]
    actions = [entry["action"] for entry in site.api.get(f"/api/audit?subject={path.rpartition('/')[2]}").json()]
    assert actions == ["submit", "pause", "pause", "resume", "resume", "cancel", "cancel"]
    assert site.api.post(f"{path}/resume", json={"accept": True}).status_code == 422


def test_a_search_is_widened_in_a_child_of_its_own(site: Site) -> None:
    parent = site.api.get(f"/api/searches/{site.done}").json()
    answer = site.client("read", "submit").post(f"/api/searches/{site.done}/widen", json={"seeds": 5, "gc": [8]})
    assert answer.status_code == 201, answer.text
    child = site.api.get(answer.headers["Location"]).json()
    assert (child["status"], child["parent"], child["owner"]) == ("queued", site.done, "ada")
    assert child["spec"] == {**parent["spec"], "seeds": [0, 1, 2, 3, 4], "gc": [*parent["spec"]["gc"], 8]}
    assert child["search"] in site.api.get(f"/api/searches/{site.done}").json()["children"]
    audited = site.api.get(f"/api/audit?subject={site.done}").json()
    assert {"search": child["search"]} in [entry["detail"] for entry in audited if entry["action"] == "widen"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "a widened search must add values or seeds to "),
        ({"gm": [3]}, 422, "gm must divide the batch: got gm=3"),
        ({"seeds": "many"}, 422, "seeds "),
        ({"epochs": 3}, 422, "epochs is not a field of a search: got 3."),
        ([], 422, "the body must be a JSON object"),
    ],
)
def test_a_widening_that_cannot_be_is_refused(site: Site, body: Any, status: int, said: str) -> None:
    before = count(site)
    refusal = site.api.post(f"/api/searches/{site.done}/widen", json=body)
    assert refusal.status_code == status
    assert refusal.json()["detail"].startswith(said)
    assert count(site) == before
    assert site.api.post("/api/searches/nosuch/widen", json={"seeds": 5}).status_code == 404


def test_a_retry_is_answered_with_what_runs_again(site: Site) -> None:
    refusal = site.api.post(f"/api/searches/{site.done}/retry")
    assert refusal.status_code == 409
    assert f"only failed trials can be retried: got {site.done}" in refusal.json()["detail"]
    with site.engine.begin() as connection:
        assert searches.get(connection, site.done).status == "done"
