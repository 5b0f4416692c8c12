"""The client and the commands that use it, at a real service."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from search.cli.search_ids import find_id
from search.client import Client
from search.settings import Settings
from search.store import leases, transitions
from search.vocabulary.errors import Conflict, Denied, InvalidSpec, NotFound, StoreUnavailable
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause, Status
from tests.search.program import SEQNORM, run, seqnorm
from tests.search.stored import open_recorder, show, submit
from tests.service.conftest import Site

SPEC: dict[str, Any] = {"recipe": "planted", "gm": [1, 2], "gc": [1], "seeds": 1}


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with Client(site.url, site.token("admin", owner="local")) as client:
        yield client


def test_what_a_service_answers_is_what_the_store_has(site: Site, client: Client) -> None:
    assert client.show(site.done) == show(site.database, site.done)
    assert {site.done, site.grid} <= {row.search for row in client.searches()}
    assert len(list(client.searches(limit=2))) == 2
    assert [row.search for row in client.searches(id=site.done[:9])] == [site.done]
    assert [len(list(client.trials(site.done, limit=size))) for size in (7, 500)] == [36, 36]
    assert client.trial(site.done, "gm", 3).number == 3
    assert client.recipe("planted").name == "planted"
    assert [len(shown.test) for shown in client.compare([site.done, site.grid]).searches] == [4, 4]


def test_at_a_service_the_start_of_an_id_is_an_id_too_and_last_is_the_newest_one(site: Site, client: Client) -> None:
    settings = Settings(url=site.url, token=site.token("read", owner="local"))
    assert find_id(settings, site.grid[:9]) == site.grid
    assert find_id(settings, "last") == next(client.searches(limit=1)).search
    assert find_id(settings, "nowhere") == "nowhere"


def test_a_search_is_submitted_described_steered_and_followed(site: Site, client: Client) -> None:
    assert client.plan(SPEC).trials == 15
    search_id = client.submit(SPEC).search
    assert client.describe(search_id, name="by a program").name == "by a program"
    assert client.pause(search_id).status == "paused"
    assert [shown.status for shown in client.follow(search_id)] == ["paused"]
    assert client.resume(search_id).status == "queued"
    threading.Timer(0.5, lambda: site.api.post(f"/api/searches/{search_id}/cancel")).start()
    assert [shown.status for shown in client.follow(search_id)][-1] == "cancelled"
    kinds = [event.kind for event in islice(client.events(search_id), 5)]
    assert kinds == ["submitted", "described", "status", "status", "status"]
    client.archive(search_id)
    exported = io.BytesIO()
    client.export(search_id, exported, "json")
    assert json.loads(exported.getvalue()) == []


def test_problems_are_the_errors_that_the_program_has(site: Site, client: Client) -> None:
    with pytest.raises(NotFound, match="no search has the id 'nowhere'"):
        client.show("nowhere")
    with pytest.raises(NotFound):
        client.show("../tokens")
    with pytest.raises(Conflict, match="only an unfinished search can be paused"):
        client.pause(site.done)
    with pytest.raises(InvalidSpec, match=r"^gm must divide the batch: got gm=3"):
        client.submit({**SPEC, "gm": [3]})
    with pytest.raises(InvalidSpec, match="finite numbers"):
        client.submit({**SPEC, "tolerance": float("nan")})
    with pytest.raises(Denied, match="needs a token"), Client(site.url, "seqnorm_0_0") as stranger:
        stranger.show(site.done)
    with (
        pytest.raises(StoreUnavailable, match="Is `seqnorm serve` running there"),
        Client("http://127.0.0.1:9") as none,
    ):
        none.show(site.done)


# Commands


def remote(site: Site, *words: str, expect: int = 0, token: str | None = None) -> str:
    """Run a command at the service; return what it prints."""
    token = site.token("admin", owner="local") if token is None else token
    done = run("--url", site.url, *words, SEQNORM_TOKEN=token)
    assert done.returncode == expect, done.stderr
    return done.stderr if expect else done.stdout


def test_commands_work_at_a_service_as_they_do_here(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(json.dumps(SPEC))
    search_id = remote(site, "submit", "-f", str(file)).strip()
    assert json.loads(remote(site, "list", "--json"))[0]["search"] == search_id
    assert json.loads(remote(site, "pause", search_id, "--json")) == {
        "search": search_id,
        "status": "paused",
        **{"requested_status": None, "parent": None, "trials": None},
    }
    assert remote(site, "resume", search_id).startswith(
        f"{search_id} is queued. A worker of the service continues it: "
    )
    assert remote(site, "cancel", search_id) == f"{search_id} is cancelled\n"
    assert "cancelled by a person" in remote(site, "watch", search_id, expect=3)
    shown = remote(site, "show", site.done)
    assert "chosen SeqNorm" in shown
    assert f"Open it in a browser: {site.url}/searches/{site.done}" in shown
    for command in ("watch", "resume"):
        chosen = json.loads(remote(site, command, site.done, "--json"))["chosen"]
        assert chosen == {"variant": "main", "gm": 8, "gc": 4}
    out = tmp_path / "trials.csv"
    remote(site, "export", site.done, "-o", str(out))
    assert len(out.read_text().splitlines()) == 37
    assert "17 trials at most" in remote(site, "plan", "planted", "--gm", "1,2,4", "--gc", "1,2", "--seeds", "1")
    assert "planted" in remote(site, "recipes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_at_a_service_ends_at_a_signal_however_quiet_the_search_is(site: Site, number: int) -> None:
    search_id = submit(site.database)
    environ = os.environ | {"SEQNORM_TOKEN": site.token("read")}
    words = [SEQNORM, "--url", site.url, "watch", search_id]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as watching:
        assert watching.stderr
        assert watching.stderr.readline().startswith("stage gm · 0/")
        time.sleep(0.5)  # until it waits for events
        watching.send_signal(number)
        said = watching.communicate(timeout=5)[1]
    assert watching.returncode == 128 + number
    assert said.startswith("No longer watching; the search goes on. Watch it again with: ")
    assert said.endswith(f"seqnorm --url {site.url} watch {search_id}\n")


def test_a_list_with_nothing_in_it_says_how_to_start_at_the_service(site: Site) -> None:
    said = remote(site, "list", token=site.token("submit", owner="nobody-yet"))
    assert said.startswith("No searches yet. Start one with: ")
    assert said.endswith(f"seqnorm --url {site.url} submit -f FILE\n")


def test_what_failed_is_queued_again_with_the_same_answer_here_and_there(site: Site) -> None:
    def failed() -> str:
        search_id = submit(site.database)
        recorder = open_recorder(site.database, search_id)
        recorder.open(stage := recorder._plan.build_stage("gm", []))
        recorder.finish(recorder.start(stage.replicates()[0]), Outcome(cause=Cause.RAISED, detail="no"))
        with recorder.engine.begin() as connection:
            transitions.set_status(connection, search_id, Status.FAILED, "a test")
            leases.release(connection, leases.Lease(search_id, 1))
        recorder.close()
        return search_id

    answers = [
        json.loads(remote(site, "retry", there := failed(), "--json")),
        json.loads(at_home(site, "retry", here := failed(), "--json")),
    ]
    assert [answer.pop("search") for answer in answers] == [there, here]
    assert answers == [{"status": "queued", "requested_status": None, "parent": None, "trials": 1}] * 2


def test_a_search_is_widened_with_the_same_answer_here_and_there(site: Site) -> None:
    parent, words = site.done, ("--gc", "8", "--seeds", "4", "--json")
    there = json.loads(remote(site, "widen", parent, *words))
    here = json.loads(at_home(site, "widen", parent, *words))
    children = [answer.pop("search") for answer in (there, here)]
    assert there == here == {"status": "queued", "requested_status": None, "parent": parent, "trials": None}
    specs = [site.api.get(f"/api/searches/{child}").json()["spec"] for child in children]
    assert specs[0] == specs[1]
    assert (specs[0]["gc"][-1], specs[0]["seeds"]) == (8, [0, 1, 2, 3])
    for child in children:
        site.api.post(f"/api/searches/{child}/cancel").raise_for_status()


def at_home(site: Site, *words: str) -> str:
    return seqnorm(site.settings.home, *words).stdout


def test_a_flag_that_names_a_place_here_wins_over_a_service_in_the_environment(site: Site, tmp_path: Path) -> None:
    submit(f"sqlite:///{tmp_path / 'seqnorm.db'}", name="of this machine")
    token = site.token("read")

    def listed(*words: str) -> list[str]:
        done = run(*words, "list", "--json", SEQNORM_URL=site.url, SEQNORM_TOKEN=token)
        return [row["name"] for row in json.loads(done.stdout)]

    assert listed("--home", str(tmp_path)) == ["of this machine"]
    assert listed("--db", f"sqlite:///{tmp_path / 'seqnorm.db'}") == ["of this machine"]
    assert "a finished search" in listed()
    assert "a finished search" in listed("--home", str(tmp_path), "--url", site.url)


def test_without_a_token_that_of_the_home_folder_goes_to_this_machine(site: Site, tmp_path: Path) -> None:
    def said(*words: str, expect: int) -> str:
        return seqnorm(tmp_path, "--url", site.url, *words, expect=expect).stderr

    assert "Commands take one from SEQNORM_TOKEN" in said("list", expect=2)
    (tmp_path / "token").write_text(site.token("read") + "\n")
    said("list", expect=0)


def test_commands_of_this_machine_refuse_a_service(site: Site) -> None:
    for words in (["tune", "planted", "--gm", "1", "--gc", "1"], ["worker"], ["serve"], ["db", "upgrade"]):
        said = remote(site, *words, expect=2)
        assert said == (
            f"error: {words[0]} only runs on this machine: got the service {site.url}. "
            "Leave out --url and SEQNORM_URL.\n"
        )
    assert "this needs a token" in remote(site, "list", expect=2, token="seqnorm_0_0")


def test_tokens_are_made_listed_and_revoked_here_and_there(site: Site, tmp_path: Path) -> None:
    def here(*words: str, expect: int = 0) -> str:
        done = seqnorm(tmp_path, "token", *words, expect=expect)
        return done.stderr if expect else done.stdout

    for tokens in (here, lambda *words, expect=0: remote(site, "token", *words, expect=expect)):
        made = json.loads(tokens("create", "ci", "--owner", "ada", "--scopes", "read, submit", "--days", "7", "--json"))
        token_id = made["token"]["id"]
        assert made["text"].startswith(f"seqnorm_{token_id}_")
        assert token_id in tokens("list")
        assert made["text"] not in tokens("list", "--json")
        assert tokens("revoke", token_id) == f"{token_id} is revoked\n"
        assert not next(token for token in json.loads(tokens("list", "--json")) if token["id"] == token_id)["active"]
        assert "no token has the id" in tokens("revoke", "0" * 12, expect=2)
    assert "one scope or more of read, submit, manage, admin" in here(
        "create", "x", "--owner", "ada", "--scopes", "all", expect=2
    )


def test_a_search_submitted_here_is_seen_there(site: Site) -> None:
    search_id = submit(site.database, name="both")
    assert json.loads(remote(site, "show", search_id, "--json"))["search"] == search_id
