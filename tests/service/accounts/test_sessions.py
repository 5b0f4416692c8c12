"""Sessions and login links on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import re

import pytest
from sqlalchemy import Connection, Engine, select, update

from search.store import tables
from search.store.database import now
from search.vocabulary.errors import InvalidSpec
from service import accounts
from service.accounts import StoredResponse, Token
from tests.service.accounts.conftest import DAY, at_once, create

POST = {"recipe": "planted", "gm": [1, 2]}


def test_a_session_lasts_until_it_expires(connection: Connection) -> None:
    token, _ = create(connection)
    cookie = accounts.open_session(connection, token, 60)
    assert re.fullmatch("[A-Za-z0-9_-]{43}", cookie)
    assert accounts.authenticate_session(connection, cookie) == token
    row = connection.execute(select(tables.sessions)).one()
    assert row.expires_at == pytest.approx(row.created_at + 60, abs=1)
    connection.execute(update(tables.sessions).values(expires_at=now() - 0.001))
    assert accounts.authenticate_session(connection, cookie) is None


def test_closing_a_session_ends_it_alone(connection: Connection) -> None:
    token, _ = create(connection)
    cookie, other = (accounts.open_session(connection, token, 60) for _ in range(2))
    accounts.close_session(connection, cookie)
    accounts.close_session(connection, "never opened")
    assert accounts.authenticate_session(connection, cookie) is None
    assert accounts.authenticate_session(connection, other) == token


def test_a_link_is_redeemed_once(connection: Connection) -> None:
    token, _ = create(connection)
    code = accounts.create_login_link(connection, token)
    row = connection.execute(select(tables.sessions)).one()
    assert row.expires_at == pytest.approx(row.created_at + 600, abs=1)
    assert [accounts.redeem_login_link(connection, code) for _ in range(2)] == [token, None]


def test_an_expired_link_is_refused(connection: Connection) -> None:
    token, _ = create(connection)
    code = accounts.create_login_link(connection, token)
    connection.execute(update(tables.sessions).values(expires_at=now() - 0.001))
    assert accounts.redeem_login_link(connection, code) is None


def test_a_cookie_is_no_link_and_a_link_is_no_cookie(connection: Connection) -> None:
    token, _ = create(connection)
    cookie, code = accounts.open_session(connection, token, 60), accounts.create_login_link(connection, token)
    assert accounts.redeem_login_link(connection, cookie) is None
    assert accounts.authenticate_session(connection, code) is None
    accounts.close_session(connection, code)
    assert accounts.authenticate_session(connection, cookie) == accounts.redeem_login_link(connection, code) == token


def test_a_session_that_would_not_end_in_the_future_is_refused(connection: Connection) -> None:
    token, _ = create(connection)
    opened = (accounts.open_session, accounts.create_login_link)
    for opening, lasts in itertools.product(opened, (0, -1, float("nan"), float("inf"))):
        with pytest.raises(InvalidSpec, match=f"a lifetime must be a positive number of seconds: got {lasts}"):
            opening(connection, token, lasts)


def test_of_requests_that_race_one_redeems_a_link(engine: Engine) -> None:
    with engine.begin() as connection:
        token, _ = create(connection)
        code = accounts.create_login_link(connection, token)

    def redeem() -> Token | None:
        with engine.begin() as connection:
            return accounts.redeem_login_link(connection, code)

    answers = at_once(12, redeem)
    assert [answer for answer in answers if answer] == [token]


def test_a_session_opened_while_its_token_was_revoked_is_refused(connection: Connection) -> None:
    token, _ = create(connection)
    accounts.revoke_token(connection, token.id)
    assert accounts.authenticate_session(connection, accounts.open_session(connection, token, DAY)) is None
    assert accounts.redeem_login_link(connection, accounts.create_login_link(connection, token)) is None


def test_sweeping_removes_what_has_ended_and_nothing_else(connection: Connection) -> None:
    token, _ = create(connection)
    cookies = [accounts.open_session(connection, token, 60) for _ in range(2)]
    codes = [accounts.create_login_link(connection, token) for _ in range(2)]
    for key in ("old", "young"):
        accounts.claim_key(connection, "ada", key, POST)
        accounts.store_response(connection, "ada", key, StoredResponse(201, key))
    for ended in (cookies[0], codes[0]):
        hashed = accounts.tokens.hash_secret(ended)
        connection.execute(
            update(tables.sessions).where(tables.sessions.c.hash == hashed).values(expires_at=now() - 0.001)
        )
    for key, age in (("old", DAY + 1), ("young", DAY - 60)):
        connection.execute(update(tables.replies).where(tables.replies.c.key == key).values(at=now() - age))
    assert accounts.delete_expired(connection) == 3
    assert accounts.delete_expired(connection) == 0
    assert connection.execute(select(tables.replies.c.key)).scalars().all() == ["young"]
    assert (
        accounts.authenticate_session(connection, cookies[1])
        == accounts.redeem_login_link(connection, codes[1])
        == token
    )
