"""The client: what it asks, what it repeats, and what it makes of answers that go wrong."""

from __future__ import annotations

import io
import logging
import socket
import time
from itertools import islice
from typing import Any, get_type_hints

import pytest

from search import client as client_module
from search.client import Client, is_loopback
from search.views import (
    ReadinessView,
    RecipeView,
    SearchPage,
    SearchRow,
    SearchState,
    SearchView,
    TokenView,
    TrialPage,
    TrialRow,
    View,
)
from search.vocabulary.errors import Conflict, Denied, InvalidSpec, NotFound, SearchError, StoreUnavailable
from search.vocabulary.states import Status
from tests.search.examples import example
from tests.search.scripted import Answer, hangs_up, problem, says, serving, streams, text

TOKEN = "seqnorm_0123456789ab_" + "s" * 43
QUEUED: dict[str, Any] = {"search": "2143c8ehmh", "status": "queued"}


def json_of(kind: type[View]) -> Any:
    """Return a view as a service answers it."""
    return example(kind).model_dump(mode="json")


SHOWN = json_of(SearchView)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MIN_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "FOLLOW_SECONDS", 0.01)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def error_text(error: type[SearchError], *answers: Answer, **options: Any) -> str:
    """Ask for a search; return what the error says."""
    with serving(*answers) as server, Client(server.url, TOKEN, **options) as client:
        with pytest.raises(error) as raised:
            client.show("x")
        return str(raised.value).replace(server.url, "URL")


# What is asked


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (lambda c: c.plan({"gm": [1]}), "POST", "/api/searches/plan", {"gm": [1]}),
        (lambda c: c.show("A"), "GET", "/api/searches/A", None),
        (
            lambda c: c.searches_page(tag="a b"),
            "GET",
            "/api/searches?tag=a+b&sort=-created&archived=false&limit=50",
            None,
        ),
        (lambda c: c.describe("A", tags=["x"]), "PATCH", "/api/searches/A", {"tags": ["x"]}),
        (lambda c: c.describe("A", name=""), "PATCH", "/api/searches/A", {"name": ""}),
        (lambda c: c.archive("A"), "DELETE", "/api/searches/A", None),
        (lambda c: c.pause("A"), "POST", "/api/searches/A/pause", None),
        (lambda c: c.cancel("A"), "POST", "/api/searches/A/cancel", None),
        (lambda c: c.resume("A", True), "POST", "/api/searches/A/resume", {"accept_code_change": True}),
        (lambda c: c.retry("A"), "POST", "/api/searches/A/retry", None),
        (lambda c: c.widen("A", gm=[64], seeds=5), "POST", "/api/searches/A/widen", {"gm": [64], "seeds": 5}),
        (lambda c: c.compare(["A", "B"]), "GET", "/api/compare?id=A&id=B", None),
        (lambda c: c.candidates("A"), "GET", "/api/searches/A/candidates", None),
        (
            lambda c: c.trials_page("A", gm=0, limit=7),
            "GET",
            "/api/searches/A/trials?gm=0&sort=started&after=0&limit=7",
            None,
        ),
        (lambda c: c.trial("A", "gm", 3), "GET", "/api/searches/A/trials/gm/3", None),
        (lambda c: c.log("A", "gm", 3), "GET", "/api/searches/A/trials/gm/3/log", None),
        (lambda c: c.log_part("A", "gm", 3, 7), "GET", "/api/searches/A/trials/gm/3/log/part?after=7", None),
        (lambda c: c.recipe("x/../y"), "GET", "/api/recipes/x%2F%2E%2E%2Fy", None),
        (lambda c: c.show(".."), "GET", "/api/searches/%2E%2E", None),
        (lambda c: c.cluster(), "GET", "/api/cluster", None),
        (
            lambda c: c.create_token("ci", owner="ada", scopes=("read",), days=1),
            "POST",
            "/api/tokens",
            {"name": "ci", "owner": "ada", "scopes": ["read"], "days": 1},
        ),
        (lambda c: c.revoke_token("T"), "DELETE", "/api/tokens/T", None),
        (lambda c: c.ready(), "GET", "/readyz", None),
    ],
)
def test_each_method_asks_its_route_with_the_token(call: Any, method: str, path: str, body: Any) -> None:
    kind = get_type_hints(getattr(Client, call.__code__.co_names[0]))["return"]
    answer = says(json_of(kind)) if isinstance(kind, type) and issubclass(kind, View) else says({})
    with serving(answer) as server, Client(server.url + "/", TOKEN) as client:
        answered = call(client)
    if isinstance(kind, type) and issubclass(kind, View):
        assert answered == example(kind)
    (received,) = server.received
    assert (received.method, received.path, received.body) == (method, path, body)
    assert received.headers["authorization"] == f"Bearer {TOKEN}"


def test_recipes_and_tokens_are_lists() -> None:
    recipes, tokens = [example(RecipeView)], [example(TokenView), example(TokenView)]
    answers = (says([each.model_dump(mode="json") for each in views]) for views in (recipes, tokens))
    with serving(*answers) as server, Client(server.url) as client:
        assert client.recipes() == recipes
        assert client.tokens() == tokens
    assert "authorization" not in server.received[0].headers


def test_a_service_under_a_path_is_asked_there() -> None:
    with serving(says(json_of(ReadinessView)), says(SHOWN)) as server, Client(f"{server.url}/norms") as client:
        client.ready()
        client.show("A")
    assert [received.path for received in server.received] == ["/norms/readyz", "/norms/api/searches/A"]


def test_searches_go_over_all_pages_or_to_a_limit() -> None:
    rows = [example(SearchRow, search=name) for name in "abc"]
    pages = [
        says(SearchPage(searches=(*part,), next=cursor).model_dump(mode="json"))
        for part, cursor in ((rows[:2], "c"), (rows[2:], None))
    ]
    with serving(*pages) as server, Client(server.url) as client:
        assert list(client.searches(status=Status.DONE)) == rows
    assert "limit=500" in server.received[0].path
    assert {"cursor=c", "status=done"} <= set(server.received[1].path.partition("?")[2].split("&"))
    with serving(*pages) as server, Client(server.url) as client:
        assert list(client.searches(limit=2)) == rows[:2]
    assert len(server.received) == 1


def test_trials_go_over_all_pages() -> None:
    rows = [example(TrialRow, trial_id=8), example(TrialRow, trial_id=9)]
    pages = [
        says(TrialPage(trials=(row,), next=cursor).model_dump(mode="json"))
        for row, cursor in zip(rows, (8, None), strict=True)
    ]
    with serving(*pages) as server, Client(server.url) as client:
        assert list(client.trials("A", stage="gm")) == rows
    assert {"after=8", "stage=gm"} <= set(server.received[1].path.partition("?")[2].split("&"))


def test_what_is_not_ready_is_said_although_that_is_no_success() -> None:
    missing = example(ReadinessView, worker="none")
    with serving(says(missing.model_dump(), 503)) as server, Client(server.url) as client:
        assert client.ready() == missing
    assert len(server.received) == 1


# What is repeated


@pytest.mark.parametrize("trouble", [hangs_up, problem(429, "slower"), problem(503, "restarting"), text("busy", 503)])
def test_a_submission_is_repeated_with_its_key_until_it_is_answered(trouble: Answer) -> None:
    with serving(trouble, trouble, says(QUEUED, 201)) as server, Client(server.url, TOKEN) as client:
        assert client.submit({"recipe": "digits-mlp"}) == SearchState(**QUEUED)
    keys = [received.headers["idempotency-key"] for received in server.received]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_each_submission_has_a_key_of_its_own() -> None:
    with serving(says(QUEUED, 201)) as server, Client(server.url) as client:
        client.submit({})
        client.submit({})
    assert len({received.headers["idempotency-key"] for received in server.received}) == 2


def test_a_service_says_how_long_to_wait() -> None:
    with serving(problem(429, "slower", Retry_After="1"), says(SHOWN)) as server, Client(server.url) as client:
        began = time.monotonic()
        client.show("A")
        assert time.monotonic() - began >= 1


def test_a_service_that_went_is_waited_for_but_not_one_that_never_was_there() -> None:
    with Client(f"http://127.0.0.1:{closed_port()}", patience=30) as stranger, pytest.raises(StoreUnavailable):
        stranger.show("A")
    with serving(says(SHOWN, Connection="close")) as server:
        client = Client(server.url, patience=0.5)
        client.show("A")
    began = time.monotonic()
    with client, pytest.raises(StoreUnavailable, match="refused"):
        client.show("A")
    assert 0.1 < time.monotonic() - began < 15  # its half second, and not the 30 s that are usual


def test_patience_ends_and_says_what_was_received() -> None:
    assert error_text(StoreUnavailable, problem(503, "the database does not answer"), patience=0.1) == (
        "the service must not be busy: got 503 (the database does not answer) from URL/api/searches/x. Try again later."
    )
    said = error_text(StoreUnavailable, problem(429, "slower", Retry_After="3600"))
    assert said.startswith("the service must not be busy: got 429 (slower)")


@pytest.mark.parametrize("trouble", [hangs_up, problem(503, "unsure")])
def test_what_may_have_been_done_is_not_repeated_where_that_would_do_it_twice(trouble: Answer) -> None:
    for call in (lambda c: c.retry("A"), lambda c: c.widen("A"), lambda c: c.create_token("n", owner="o", scopes=[])):
        with serving(trouble) as server, Client(server.url) as client, pytest.raises(StoreUnavailable):
            call(client)
        assert len(server.received) == 1


def test_what_was_refused_for_its_number_is_repeated_whatever_it_is() -> None:
    with serving(problem(429, "slower"), says({**QUEUED, "trials": 3})) as server, Client(server.url) as client:
        assert client.retry("A").trials == 3


# What goes wrong


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, InvalidSpec) for status in (400, 413, 422)),
        *((status, StoreUnavailable) for status in (421, 500, 502)),
        (403, Denied),
        (404, NotFound),
        (409, Conflict),
    ],
)
def test_problems_are_errors_by_their_status_with_what_they_say(status: int, error: type[SearchError]) -> None:
    said = "gm must divide the batch: got gm=3. Use 2."
    assert said in error_text(error, problem(status, said))


def test_who_is_not_known_learns_where_a_token_is_taken_from() -> None:
    said = error_text(
        Denied, problem(401, "this needs a token: got none that is known. Send Authorization: Bearer TOKEN")
    )
    assert said == (
        "this needs a token: got none that is known. Commands take one from SEQNORM_TOKEN. "
        "Create one at the service with: seqnorm token create NAME --owner OWNER"
    )


def test_an_address_where_nothing_listens_is_named_with_what_to_do() -> None:
    port = closed_port()
    with Client(f"http://127.0.0.1:{port}", TOKEN) as client, pytest.raises(StoreUnavailable) as raised:
        client.submit({})
    assert str(raised.value) == (
        "the service must answer: got [Errno 111] Connection refused "
        f"from http://127.0.0.1:{port}. Is `seqnorm serve` running there?"
    )


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (text("<h1>It works!</h1>"), "200 text/html"),
        (text("<h1>Not here</h1>", 404), "404 text/html"),
        (says({"detail": {"no": "text"}}, 404), "404 application/json"),
        (says(["a list"]), "200 application/json"),
        (text("[" * 100_000, kind="application/json"), "200 application/json"),
        (text("\x00\x01", 500, "application/octet-stream"), "500 application/octet-stream"),
    ],
)
def test_what_is_no_answer_of_a_service_is_not_taken_for_one(answer: Answer, got: str) -> None:
    assert error_text(StoreUnavailable, answer) == (
        f"the address must be that of a seqnorm service: got {got} from URL/api/searches/x. Check --url or SEQNORM_URL."
    )


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_takes_no_token_elsewhere(status: int) -> None:
    with serving(says({})) as other:
        said = error_text(StoreUnavailable, text("", status, Location=f"{other.url}/api/searches/x"))
    assert f"got a redirect to '{other.url}/api/searches/x', which is not followed," in said
    assert other.received == []


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://[", "http://host/?a=b"]
)
def test_an_address_that_can_be_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidSpec, match="must be http:// or https:// and a host: got"):
        Client(url)


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidSpec) as raised:
        Client("http://ada:secret@host")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f" {TOKEN}", "schlüssel", "\udcff", "a\x00b"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        Client("http://host", token)
    assert token.strip() not in str(raised.value)


def test_a_search_that_is_no_json_is_refused_before_it_is_sent() -> None:
    with serving(says({})) as server, Client(server.url) as client:
        for fields in ({"tolerance": float("nan")}, {"name": object()}):
            with pytest.raises(InvalidSpec, match="the body must consist of finite numbers, text, lists and objects"):
                client.submit(fields)
    assert server.received == []


def test_the_token_is_in_no_error_no_log_and_no_description(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for answer in (hangs_up, problem(401, "who?"), problem(503, "busy"), text("junk"), text("", 307, Location="/x")):
        said.append(error_text(SearchError, answer, patience=0.1))
    with Client("http://127.0.0.1:1", TOKEN) as client:
        said += [repr(client), str(vars(client))]
    assert len(caplog.records) > 5
    assert "ssss" not in " ".join([*said, caplog.text])


def test_a_proxy_for_other_hosts_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{closed_port()}")
    with serving(says(SHOWN)) as server, Client(server.url, TOKEN) as client:
        assert client.show("A") == SearchView(**SHOWN)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.9.9.9", True),
        ("http://localhost", True),
        ("https://[::1]:8000/", True),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org", False),
        ("http://127.0.0.1@example.org", False),
        ("http://10.0.0.1", False),
        ("", False),
    ],
)
def test_an_address_of_this_machine_is_known_as_one(url: str, here: bool) -> None:
    assert is_loopback(url) is here


# Events


def event(number: int, **detail: Any) -> str:
    return f'id: {number}\ndata: {{"id": {number}, "at": 0.5, "kind": "{detail.get("kind", "trial")}"}}\n\n'


def test_events_go_on_behind_the_last_whole_one_when_their_stream_is_cut() -> None:
    second = event(2)
    answers = (
        streams(": following\nretry: 1000\n\n", event(1), second[:20]),
        hangs_up,
        problem(503, "restarting"),
        streams(second[:9], second[9:], ": ping\n\n", whole=True),
        streams(event(3), whole=True),
    )
    with serving(*answers) as server, Client(server.url, TOKEN) as client:
        events = client.events("A", after=0)
        assert [found.id for found in islice(events, 3)] == [1, 2, 3]
        events.close()
    assert [received.headers["last-event-id"] for received in server.received] == ["0", "1", "1", "1", "2"]


def test_events_end_when_the_service_refuses_or_stays_away() -> None:
    answers = streams(event(1), whole=True), problem(401, "who?")
    with serving(*answers) as server, Client(server.url, TOKEN) as client:
        events = client.events("A")
        assert next(events).id == 1
        with pytest.raises(Denied, match="who"):
            next(events)
    with serving(streams(event(1)), hangs_up) as server, Client(server.url, patience=0.1) as client:
        events = client.events("A")
        next(events)
        with pytest.raises(StoreUnavailable, match="the service must answer"):
            next(events)


@pytest.mark.parametrize("junk", [says({}), streams("id: 1\ndata: no json\n\n"), streams("data: [1]\n\n")])
def test_a_stream_of_something_else_is_not_followed(junk: Answer) -> None:
    with serving(junk) as server, Client(server.url) as client:
        with pytest.raises(StoreUnavailable, match="must be that of a seqnorm service"):
            next(client.events("A"))
        assert len(server.received) == 1


def test_following_shows_a_search_again_after_news_only_and_ends_with_it() -> None:
    def shown(status: str, newest: int) -> Answer:
        return says({**SHOWN, "status": status, "newest_event": newest})

    answers = (
        shown("queued", 4),
        streams(event(5), event(6)),
        shown("running", 6),  # has both already
        streams(event(7)),
        shown("done", 7),
    )
    with serving(*answers) as server, Client(server.url) as client:
        assert [each.status for each in client.follow("A")] == ["queued", "running", "done"]
    assert [received.headers.get("last-event-id") for received in server.received] == [None, "4", None, "6", None]
    with serving(shown("paused", 1)) as server, Client(server.url) as client:
        assert [each.status for each in client.follow("A")] == ["paused"]


# Files


def test_files_are_written_as_they_come() -> None:
    with serving(streams("gm,gc\n", "1,0\n", whole=True, kind="text/csv")) as server, Client(server.url) as client:
        client.export("A", exported := io.BytesIO(), "json")
        client.checkpoint("A", io.BytesIO())
    assert exported.getvalue() == b"gm,gc\n1,0\n"
    assert [received.path for received in server.received] == [
        "/api/searches/A/export?format=json&table=trials",
        "/api/searches/A/checkpoint",
    ]


def test_a_file_that_was_cut_is_not_taken_for_whole() -> None:
    said = "a download must be complete: got 6 bytes and then"
    cut = streams("gm,gc\n", kind="text/csv")
    with serving(cut) as server, Client(server.url) as client, pytest.raises(StoreUnavailable, match=said):
        client.export("A", io.BytesIO())


def test_a_refused_file_says_why() -> None:
    with serving(problem(404, "weights are kept for a chosen point")) as server, Client(server.url) as client:
        with pytest.raises(NotFound, match="weights are kept"):
            client.checkpoint("A", written := io.BytesIO())
        assert written.getvalue() == b""
