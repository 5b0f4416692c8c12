"""The client and the commands that use it, at a real service, and at servers that misbehave."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from search.client import Client
from search.errors import Conflict, Denied, InvalidSpec, NotFound, StoreUnavailable
from tests.search.engine import show, submit
from tests.search.program import SEQNORM
from tests.service.conftest import Site

SPEC: dict[str, Any] = {"recipe": "planted", "gm": [1, 2], "gc": [1], "seeds": 1}


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with Client(site.url, site.token("admin", owner="local")) as client:
        yield client


def test_what_a_service_answers_is_what_the_store_has(site: Site, client: Client) -> None:
    assert client.show(site.done) == show(site.database, site.done)
    assert {site.done, site.grid} <= {row["id"] for row in client.searches()}
    assert len(list(client.searches(limit=2))) == 2
    assert [len(list(client.trials(site.done, limit=size))) for size in (7, 500)] == [36, 36]
    assert client.trial(site.done, "gm", 3)["number"] == 3
    assert client.recipe("planted")["name"] == "planted"
    assert [len(shown["test"]) for shown in client.compare([site.done, site.grid])["searches"]] == [4, 4]


def test_a_search_is_submitted_described_steered_and_followed(site: Site, client: Client) -> None:
    assert client.plan(SPEC)["trials"] == 15
    search_id = client.submit(SPEC)["search"]
    assert client.describe(search_id, name="by a program")["name"] == "by a program"
    assert client.pause(search_id)["status"] == "paused"
    assert [shown["status"] for shown in client.follow(search_id)] == ["paused"]
    assert client.resume(search_id)["status"] == "queued"
    threading.Timer(0.5, lambda: site.api.post(f"/api/searches/{search_id}/cancel")).start()
    assert [shown["status"] for shown in client.follow(search_id)][-1] == "cancelled"
    kinds = [event["kind"] for event in islice(client.events(search_id), 5)]
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


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def misbehaving(*answers: Answer) -> Iterator[tuple[str, list[Any]]]:
    """Serve each request with the next of some answers; yield the address and the requests' headers."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(self.headers)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answers[min(len(asked), len(answers)) - 1](self)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def says(status: int, body: Any, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    return answer


def breaks(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(2)


def test_a_submission_is_repeated_with_the_same_key_until_it_is_answered() -> None:
    busy = says(503, {"detail": "busy"}, Retry_After="0")
    with misbehaving(breaks, busy, says(201, {"search": "abc"})) as (url, asked), Client(url) as client:
        assert client.submit(SPEC) == {"search": "abc"}
    assert len(asked) == 3
    assert len({headers["Idempotency-Key"] for headers in asked}) == 1


def test_patience_ends() -> None:
    refused = pytest.raises(StoreUnavailable, match=r"the service must have time: got 503 \(busy\)")
    with misbehaving(says(503, {"detail": "busy"})) as (url, _), Client(url, patience=0.3) as client, refused:
        client.show("abc")


def test_a_stream_that_breaks_goes_on_where_it_stopped() -> None:
    def part(*ids: int) -> Answer:
        lines = "".join(f"id: {id}\ndata: {json.dumps({'id': id})}\n\n" for id in ids) + "id: 9\ndata: cut"
        return says(200, lines.encode(), Content_Type="text/event-stream")

    with misbehaving(part(1, 2), part(3)) as (url, asked), Client(url) as client:
        events = client.events("abc")
        assert [event["id"] for event in islice(events, 3)] == [1, 2, 3]
        events.close()  # type: ignore[attr-defined]
    assert [headers["Last-Event-ID"] for headers in asked] == ["0", "2"]


@pytest.mark.parametrize(
    "answer",
    [
        says(302, b"", Location="http://evil.example/"),
        says(200, b"<html>", Content_Type="text/html"),
        says(200, []),
        says(404, b"nginx"),
    ],
    ids=["redirect", "page", "list", "no problem"],
)
def test_another_kind_of_server_is_recognised_and_gets_nothing_more(answer: Answer) -> None:
    secret = "seqnorm_0123456789ab_secret"
    refused = pytest.raises(StoreUnavailable, match="the address must be that of a seqnorm service")
    with misbehaving(answer) as (url, asked), Client(url, secret) as client, refused as error:
        client.show("abc")
    assert len(asked) == 1
    assert secret not in str(error.value)


# Commands


def remote(site: Site, *words: str, expect: int = 0, token: str | None = None) -> str:
    """Run a command at the service; return what it prints."""
    environ = os.environ | {"SEQNORM_TOKEN": site.token("admin", owner="local") if token is None else token}
    done = subprocess.run([SEQNORM, "--url", site.url, *words], capture_output=True, text=True, timeout=60, env=environ)
    assert done.returncode == expect, done.stderr
    return done.stderr if expect else done.stdout


def test_commands_work_at_a_service_as_they_do_here(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(json.dumps(SPEC))
    search_id = remote(site, "submit", "-f", str(file)).strip()
    assert json.loads(remote(site, "list", "--json"))[0]["id"] == search_id
    assert json.loads(remote(site, "pause", search_id, "--json")) == {
        "search": search_id,
        "status": "paused",
        "wanted": None,
    }
    assert remote(site, "resume", search_id).startswith(f"{search_id} is queued")
    assert remote(site, "cancel", search_id) == f"{search_id} is cancelled\n"
    assert "cancelled by a person" in remote(site, "watch", search_id, expect=3)
    shown = remote(site, "show", site.done)
    assert "chosen SeqNorm" in shown
    assert f"Open it in a browser: {site.url}/searches/{site.done}" in shown
    assert json.loads(remote(site, "watch", site.done, "--json"))["chosen"] == {"variant": "main", "gm": 8, "gc": 4}
    out = tmp_path / "trials.csv"
    remote(site, "export", site.done, "-o", str(out))
    assert len(out.read_text().splitlines()) == 37
    assert "17 trials at the most" in remote(site, "plan", "planted", "--gm", "1,2,4", "--gc", "1,2", "--seeds", "1")
    assert "planted" in remote(site, "recipes")


def test_commands_of_this_machine_refuse_a_service(site: Site) -> None:
    for words in (["tune", "planted", "--gm", "1", "--gc", "1"], ["worker"], ["serve"], ["db", "upgrade"]):
        said = remote(site, *words, expect=2)
        assert said == (
            f"error: {words[0]} works on this machine alone: got the service {site.url}. "
            "Leave out --url and SEQNORM_URL.\n"
        )
    assert "this needs a token" in remote(site, "list", expect=2, token="seqnorm_0_0")


def test_tokens_are_made_listed_and_revoked_here_and_there(site: Site, tmp_path: Path) -> None:
    def here(*words: str, expect: int = 0) -> str:
        done = subprocess.run(
            [SEQNORM, "--home", str(tmp_path), "token", *words], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == expect, done.stderr
        return done.stderr if expect else done.stdout

    for run in (here, lambda *words, expect=0: remote(site, "token", *words, expect=expect)):
        made = json.loads(run("create", "ci", "--owner", "ada", "--scopes", "read, submit", "--days", "7", "--json"))
        token_id = made["token"]["id"]
        assert made["text"].startswith(f"seqnorm_{token_id}_")
        assert token_id in run("list")
        assert made["text"] not in run("list", "--json")
        assert run("revoke", token_id) == f"{token_id} is revoked\n"
        assert not next(token for token in json.loads(run("list", "--json")) if token["id"] == token_id)["active"]
        assert "no token has the id" in run("revoke", "0" * 12, expect=2)
    assert "one scope or more of read, submit, manage, admin" in here(
        "create", "x", "--owner", "ada", "--scopes", "all", expect=2
    )


def test_a_search_submitted_here_is_seen_there(site: Site) -> None:
    search_id = submit(site.database, name="both")
    assert json.loads(remote(site, "show", search_id, "--json"))["search"] == search_id
