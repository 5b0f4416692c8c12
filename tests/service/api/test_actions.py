"""What is done to a search: pause, resume, cancel, retry, widen."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest

from search.actions.submit import prepare
from search.store import searches
from search.store.binding import Binding
from tests.search.stored import open_recorder
from tests.service.api.answers import count
from tests.service.conftest import Site
from trainers.commands.command import Command

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


def test_a_search_of_a_command_is_shown_and_stopped_and_left_to_its_user_on_its_host(site: Site) -> None:
    command = Command(words=("/bin/sh", "my train.sh", "{gm}"), folder="/somewhere")
    fields = {"recipe": "train.sh", "gm": [1, 3], "gc": [1], "name": "a command"}
    with site.engine.begin() as connection:
        search_id = prepare(site.settings, fields, command).store(connection)
    path, host = f"/api/searches/{search_id}", Binding.here()
    shown = site.api.get(path).json()
    described = shown["provenance"]["command"]
    assert (described["words"], described["folder"]) == (["/bin/sh", "my train.sh", "{gm}"], "/somewhere")
    assert (described["host"], described["user"], described["measures_test"]) == (host.host, host.user, False)
    recorder = open_recorder(site.database, search_id, lease_seconds=-1)
    stage = recorder._plan.build_stage("gm", [])
    recorder.open(stage)
    recorder.start(stage.replicates()[1])
    recorder.close()
    by_hand = "cd /somewhere && SEQNORM_GC=0 SEQNORM_SEED=0 SEQNORM_SPLIT=validation /bin/sh 'my train.sh' 3"
    assert by_hand in unescape(site.api.get(f"/searches/{search_id}/trials/gm/0").text)
    assert site.api.post(f"{path}/pause").json()["status"] == "paused"
    for action in ("resume", "retry", "widen"):
        refusal = site.api.post(f"{path}/{action}", json={"seeds": 5} if action == "widen" else None)
        assert refusal.status_code == 409
        assert refusal.json()["detail"].endswith(
            f"got {search_id}, which is bound to {host}. There, type “seqnorm {action} {search_id}”."
        )
    refusal = site.api.get(f"{path}/checkpoint")
    assert refusal.status_code == 404
    assert f" searches/{search_id} in " in refusal.json()["detail"]
    assert str(site.settings.home) not in refusal.json()["detail"], "a reader learns no path of the server"
    page = unescape(site.api.get(f"/searches/{search_id}").text)
    assert "Command: <code>/bin/sh 'my train.sh' '{gm}'</code>" in page
    assert f"Folder: /somewhere · {host}" in page
    assert "its figure is the validation accuracy, as the command does not read the split" in page
    assert '<h2 id="stage-test">Fresh seeds</h2>' in page
    axis = site.api.get(f"{path}/figures/test").json()["layout"]["yaxis"]["title"]["text"]
    assert axis == "validation accuracy"
    assert f"<code>seqnorm resume {search_id}</code>" in page
    assert f"{path}/resume" not in page
    assert site.api.post(f"{path}/cancel").json()["status"] == "cancelled"
