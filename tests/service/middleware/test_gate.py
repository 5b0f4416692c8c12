"""What is refused without a look at the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from search.settings import Settings
from search.store.database import Engine, open_engine
from service import accounts
from service.app import create_app
from service.middleware.gate import COOKIE
from tests.search.stored import prepare

WRONG = "seqnorm_000000000000_" + "A" * 43
ROUTES = ["/api/searches", "/api/searches/x/events", "/metrics", "/nowhere"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return Settings(home=settings.home, guesses_per_minute=3)


@pytest.fixture
def token(settings: Settings) -> str:
    """A token that nobody has used."""
    prepare(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        _, text = accounts.create_token(connection, name="a test", owner="ada", scopes=["read"], lifetime=None)
    return text


@pytest.fixture
def client(settings: Settings, token: str) -> Iterator[TestClient]:
    """A stranger."""
    with TestClient(create_app(settings), "http://127.0.0.1") as client:
        yield client


@pytest.fixture
def looked(client: TestClient) -> Iterator[list[object]]:
    """What was asked of the database."""
    statements: list[object] = []

    def remember(*arguments: object) -> None:
        statements.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", remember)
    yield statements
    event.remove(Engine, "before_cursor_execute", remember)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}, {"Cookie": "other=1"}, {"Host": "elsewhere"}],
)
def test_who_shows_nothing_costs_no_look_at_the_database(
    client: TestClient, looked: list[object], path: str, headers: dict[str, str]
) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == (421 if "Host" in headers else 401)
    assert not [each for each in looked if "tokens" in str(each)]


def wrong(number: int) -> str:
    """Return one of many tokens of the right form."""
    return f"seqnorm_{number:012}_{'A' * 43}"


GUESSES = {
    "tokens": lambda number: bearer(wrong(number)),
    "junk": lambda number: bearer(f"junk{number}"),
    "cookies": lambda number: {"Cookie": f"{COOKIE}=junk{number}"},
}


@pytest.mark.parametrize("kind", GUESSES)
def test_an_address_that_guesses_is_slowed_and_costs_no_more_looks(
    client: TestClient, token: str, looked: list[object], kind: str
) -> None:
    guess = GUESSES[kind](9)
    assert client.get("/api/searches", headers=bearer(token)).status_code == 200
    statuses = [client.get(path, headers=GUESSES[kind](number)).status_code for number, path in enumerate(ROUTES)]
    assert statuses == [401, 401, 401, 429]
    looked.clear()
    refused = client.post("/api/searches", headers=guess)
    assert (refused.status_code, refused.headers["Content-Type"]) == (429, "application/problem+json")
    assert 1 <= int(refused.headers["Retry-After"]) <= 21
    assert refused.json()["detail"].startswith("an address may send 3 wrong tokens a minute: got more. Wait ")
    assert not [each for each in looked if "tokens" in str(each)]
    assert client.get("/api/searches", headers=bearer(token)).status_code == 200, "who was right before is not slowed"
    assert client.get("/healthz").status_code == 200
    shown = client.get("/", headers={**guess, "Accept": "text/html"}, follow_redirects=False)
    assert (shown.status_code, shown.headers["Location"]) == (303, "/login?next=%2F"), "a browser may log in"


def test_a_program_with_a_wrong_token_slows_nobody_and_costs_one_look(
    client: TestClient, token: str, looked: list[object]
) -> None:
    statuses = {client.get("/api/searches", headers=bearer(WRONG)).status_code for _ in range(20)}
    assert statuses == {401}
    assert len([each for each in looked if "FROM tokens" in str(each)]) == 1
    assert client.get("/api/searches", headers=bearer(token)).status_code == 200


def test_a_token_that_was_sent_in_a_wrong_place_is_right_in_its_own(client: TestClient, token: str) -> None:
    assert client.get("/api/searches", headers={"Cookie": f"{COOKIE}={token}"}).status_code == 401
    own = {"Origin": "http://127.0.0.1"}
    assert client.post("/login", data={"code": token}, headers=own).status_code == 403
    assert client.get("/api/searches", headers=bearer(token)).status_code == 200
    assert client.post("/login", data={"token": token}, headers=own, follow_redirects=False).status_code == 303


def test_logins_count_too_and_wait_for_no_writer(client: TestClient, token: str, settings: Settings) -> None:
    own = {"Origin": "http://127.0.0.1"}
    with open_engine(settings.database_url).begin():  # holds SQLite's lock for writers
        for number in range(2):
            assert client.post("/login", data={"token": wrong(number)}, headers=own).status_code == 403
        assert client.post("/login", data={"code": "junk"}, headers=own).status_code == 403
        for refused in (
            client.post("/login", data={"token": wrong(9)}, headers=own),
            client.post("/login", data={"token": token}, headers=own),
            client.post("/login", data={"code": "other"}, headers=own),
            client.get("/api/searches", headers=bearer(token)),
        ):
            assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
        assert client.get("/login").status_code == 200
