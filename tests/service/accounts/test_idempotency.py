"""Repeated requests on SQLite and on PostgreSQL: the first is carried out, the others get its answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, select, update

from search.store import tables
from search.store.database import now
from search.vocabulary.errors import Conflict, InvalidSpec
from service import accounts
from service.accounts import StoredResponse
from tests.service.accounts.conftest import DAY, add_search, at_once, failing

POST = {"recipe": "planted", "gm": [1, 2]}


def test_a_repeated_request_gets_the_first_ones_answer(connection: Connection) -> None:
    assert accounts.claim_key(connection, "ada", "key", POST) is None
    accounts.store_response(connection, "ada", "key", StoredResponse(201, {"id": "abc"}))
    assert accounts.claim_key(connection, "ada", "key", POST) == StoredResponse(201, {"id": "abc"})
    reordered = dict(reversed(POST.items()))
    assert accounts.claim_key(connection, "ada", "key", reordered) == StoredResponse(201, {"id": "abc"})


def test_an_empty_answer_is_an_answer(connection: Connection) -> None:
    accounts.claim_key(connection, "ada", "key", b"")
    accounts.store_response(connection, "ada", "key", StoredResponse(204, None))
    assert accounts.claim_key(connection, "ada", "key", b"") == StoredResponse(204, None)


def test_a_key_with_another_body_is_refused(connection: Connection) -> None:
    pairs = {"a": (POST, {**POST, "gm": [2, 1]}), "b": (b"{}", b"{ }"), "c": ({}, []), "d": (1, True)}
    for key, (first, second) in pairs.items():
        accounts.claim_key(connection, "ada", key, first)
        accounts.store_response(connection, "ada", key, StoredResponse(201, {}))
        with pytest.raises(InvalidSpec, match=f"stands for one request: got '{key}' with another body than before"):
            accounts.claim_key(connection, "ada", key, second)


def test_keys_of_two_owners_do_not_meet(connection: Connection) -> None:
    accounts.claim_key(connection, "ada", "key", POST)
    accounts.store_response(connection, "ada", "key", StoredResponse(201, {}))
    assert accounts.claim_key(connection, "bob", "key", POST) is None
    assert accounts.claim_key(connection, "ada", "other", POST) is None


def test_a_malformed_key_is_refused(connection: Connection) -> None:
    for key in ("", "a b", "k" * 256, "\0", "\ud800", "é", "key\n"):
        with pytest.raises(InvalidSpec, match=r"an Idempotency-Key must be 1 to 255 printable ASCII .*: got '"):
            accounts.claim_key(connection, "ada", key, POST)


def test_an_answer_is_forgotten_after_a_day_swept_or_not(connection: Connection) -> None:
    accounts.claim_key(connection, "ada", "k" * 255, POST)
    accounts.store_response(connection, "ada", "k" * 255, StoredResponse(201, {}))
    connection.execute(update(tables.replies).values(at=now() - DAY + 60))
    assert accounts.claim_key(connection, "ada", "k" * 255, POST) == StoredResponse(201, {})
    connection.execute(update(tables.replies).values(at=now() - DAY - 1))
    assert accounts.claim_key(connection, "ada", "k" * 255, {"another": "body"}) is None


def test_a_request_committed_without_an_answer_is_in_progress(engine: Engine) -> None:
    with engine.begin() as connection:
        accounts.claim_key(connection, "ada", "key", POST)
    with engine.begin() as connection, pytest.raises(Conflict, match=r"'key' is still in progress. Repeat it"):
        accounts.claim_key(connection, "ada", "key", POST)
    with engine.begin() as connection:
        accounts.store_response(connection, "ada", "key", StoredResponse(201, {}))
        assert accounts.claim_key(connection, "ada", "key", POST) == StoredResponse(201, {})


def test_a_request_that_fails_leaves_its_key_free(engine: Engine) -> None:
    with failing(engine) as connection:
        accounts.claim_key(connection, "ada", "key", POST)
    with engine.begin() as connection:
        assert accounts.claim_key(connection, "ada", "key", {"another": "body"}) is None


def test_an_answer_is_kept_once_and_for_a_request_that_was_begun(connection: Connection) -> None:
    with pytest.raises(Conflict, match=r"a response is stored once, for a claimed key: .* for 'key'"):
        accounts.store_response(connection, "ada", "key", StoredResponse(201, {}))
    accounts.claim_key(connection, "ada", "key", POST)
    accounts.store_response(connection, "ada", "key", StoredResponse(201, {"n": 1}))
    with pytest.raises(Conflict, match="a response is stored once"):
        accounts.store_response(connection, "ada", "key", StoredResponse(201, {"n": 2}))
    assert accounts.claim_key(connection, "ada", "key", POST) == StoredResponse(201, {"n": 1})


def test_fifty_identical_posts_at_once_store_one_search(engine: Engine) -> None:
    ids = iter(f"search{n}" for n in range(50))

    def post() -> StoredResponse:
        with engine.begin() as connection:
            earlier = accounts.claim_key(connection, "ada", "key", POST)
            if earlier is not None:
                return earlier
            search_id = next(ids)
            add_search(connection, search_id)
            answer = StoredResponse(201, {"id": search_id})
            accounts.store_response(connection, "ada", "key", answer)
            return answer

    assert at_once(50, post) == [StoredResponse(201, {"id": "search0"})] * 50
    with engine.connect() as connection:
        assert connection.execute(select(tables.searches.c.id)).scalars().all() == ["search0"]


def test_the_second_of_two_posts_goes_on_if_the_first_fails(engine: Engine) -> None:
    begun, started = threading.Event(), threading.Event()

    def second() -> StoredResponse | None:
        begun.wait(30)
        started.set()
        with engine.begin() as connection:  # on SQLite it waits here, on PostgreSQL in claim_key
            return accounts.claim_key(connection, "ada", "key", {"another": "body"})

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second)
        with failing(engine) as connection:
            accounts.claim_key(connection, "ada", "key", POST)
            begun.set()
            started.wait(30)
        assert waiting.result(30) is None
