"""Tokens on SQLite and on PostgreSQL."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, inspect, select, text, update

from search.store import tables
from search.store.database import now, open_engine
from search.vocabulary.errors import InvalidSpec, NotFound
from service import accounts
from tests.service.accounts.conftest import DAY, create


def count(connection: Connection, table: Any) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_a_token_is_found_by_its_text(connection: Connection) -> None:
    token, shown = create(connection, lifetime=DAY)
    assert re.fullmatch(rf"seqnorm_{token.id}_[A-Za-z0-9_-]{{43}}", shown)
    assert re.fullmatch("[0-9a-hjkmnp-tv-z]{12}", token.id)
    assert accounts.authenticate_token(connection, shown) == token
    assert (token.name, token.owner, token.scopes) == ("laptop", "ada", ("read", "submit"))
    assert token.expires_at == pytest.approx(token.created_at + DAY, abs=1)
    assert token.created_at == pytest.approx(connection.execute(select(now())).scalar_one(), abs=5)
    assert (token.revoked_at, token.last_used_at, token.active) == (None, None, True)


def test_every_token_has_its_own_id_and_secret(connection: Connection) -> None:
    made = [create(connection) for _ in range(5)]
    assert len({token.id for token, _ in made}) == len({shown[-43:] for _, shown in made}) == 5
    assert [accounts.authenticate_token(connection, shown) for _, shown in made] == [token for token, _ in made]


def test_the_secret_of_another_token_does_not_fit(connection: Connection) -> None:
    (token, first), (_, second) = create(connection), create(connection)
    assert accounts.authenticate_token(connection, f"seqnorm_{token.id}_{second[-43:]}") is None
    changed = "A" if first[-1] != "A" else "B"
    assert accounts.authenticate_token(connection, first[:-1] + changed) is None


ODD = [
    "", "{}\n", " {}", "{}A", "Bearer {}", "\0", "{}\0", "seqnorm_\0", "\ud800", "seqnorm__", "_" * 100_000,
    "' OR 1=1 --", *("seqnorm_000000000000_" + 43 * character for character in ("A", "\ud800", "٣")),
]  # fmt: skip


def test_odd_text_is_no_token_no_session_and_no_link(connection: Connection) -> None:
    _, shown = create(connection)
    for odd in (wrong.replace("{}", shown) for wrong in ODD):
        assert accounts.authenticate_token(connection, odd) is None
        assert accounts.authenticate_session(connection, odd) is None
        assert accounts.redeem_login_link(connection, odd) is None


def test_scopes_are_separate_and_admin_has_all(connection: Connection) -> None:
    token, _ = create(connection, scopes=["manage", "manage"])
    assert token.scopes == ("manage",)
    assert [token.allows(scope) for scope in accounts.SCOPES] == [False, False, True, False]
    admin, _ = create(connection, scopes=["admin"])
    assert all(admin.allows(scope) for scope in accounts.SCOPES)


REFUSED = [
    ({"name": ""}, r"a token's name must be 1 to 100 printable characters: got ''. Say"),
    ({"name": "a\0b"}, r"printable characters: got 'a\\x00b'"),
    ({"name": "\ud800"}, r"printable characters: got '\\ud800'"),
    ({"name": "n" * 101}, "1 to 100 printable characters: got 'nnn"),
    ({"owner": ""}, "an owner must be 1 to 64 letters, .* got ''. Give"),
    ({"owner": "a b"}, "an owner must be .* got 'a b'"),
    ({"owner": "o" * 65}, "an owner must be 1 to 64"),
    ({"scopes": []}, "a token must have one scope or more of read, submit, manage, admin: got none"),
    ({"scopes": ["read", "root"]}, "one scope or more of .*: got 'root'"),
    ({"lifetime": 0}, "a lifetime must be a positive number of seconds: got 0"),
    ({"lifetime": float("nan")}, "a lifetime must be a positive number of seconds: got nan"),
    ({"lifetime": float("inf")}, "a lifetime must be a positive number of seconds: got inf"),
]


def test_a_token_that_cannot_be_is_refused(connection: Connection) -> None:
    for changes, words in REFUSED:
        with pytest.raises(InvalidSpec, match=words):
            create(connection, **changes)
    assert count(connection, tables.tokens) == 0


def test_a_token_expires_on_the_clock_of_the_database(connection: Connection) -> None:
    token, shown = create(connection, lifetime=DAY)
    cookie = accounts.open_session(connection, token, DAY)
    code = accounts.create_login_link(connection, token)
    connection.execute(update(tables.tokens).values(expires_at=now() + 30))
    assert accounts.authenticate_token(connection, shown) is not None
    connection.execute(update(tables.tokens).values(expires_at=now() - 0.001))
    assert accounts.authenticate_token(connection, shown) is None
    assert accounts.authenticate_session(connection, cookie) is None
    assert accounts.redeem_login_link(connection, code) is None
    assert [listed.active for listed in accounts.list_tokens(connection)] == [False]


def test_a_revoked_token_is_refused_with_its_sessions_and_links(connection: Connection) -> None:
    (token, shown), (other, other_shown) = create(connection), create(connection)
    cookie, kept = (accounts.open_session(connection, each, DAY) for each in (token, other))
    code = accounts.create_login_link(connection, token)
    accounts.revoke_token(connection, token.id)
    assert accounts.authenticate_token(connection, shown) is None
    assert accounts.authenticate_session(connection, cookie) is None
    assert accounts.redeem_login_link(connection, code) is None
    assert (
        accounts.authenticate_token(connection, other_shown) == accounts.authenticate_session(connection, kept) == other
    )
    assert count(connection, tables.sessions) == 1


def test_revoking_again_changes_nothing(connection: Connection) -> None:
    token, _ = create(connection)
    accounts.revoke_token(connection, token.id)
    connection.execute(update(tables.tokens).values(revoked_at=1000.0))
    accounts.revoke_token(connection, token.id)
    assert [listed.revoked_at for listed in accounts.list_tokens(connection)] == [1000.0]


def test_revoking_an_unknown_token_is_refused(connection: Connection) -> None:
    token, shown = create(connection)
    for unknown in ("0" * 12, "", "\0", "\ud800", "' OR 1=1 --"):
        with pytest.raises(NotFound, match=f"no token has the id {re.escape(repr(unknown))}. List them with:"):
            accounts.revoke_token(connection, unknown)
    assert accounts.authenticate_token(connection, shown) == token


def test_tokens_are_listed_oldest_first_without_their_secrets(connection: Connection) -> None:
    made = [create(connection, name=name) for name in ("one", "two", "three")]
    for at, (token, _) in zip((30.0, 10.0, 20.0), made, strict=True):
        connection.execute(update(tables.tokens).where(tables.tokens.c.id == token.id).values(created_at=at))
    listed = accounts.list_tokens(connection)
    assert [token.name for token in listed] == ["two", "three", "one"]
    for _, shown in made:
        assert shown[-43:] not in repr(listed)


def test_the_last_use_is_written_at_most_once_a_minute(connection: Connection) -> None:
    _, shown = create(connection)
    other, _ = create(connection)

    def used() -> float | None:
        token = accounts.authenticate_token(connection, shown)
        assert token is not None
        accounts.touch(connection, token)
        return last_uses()[token.id]

    def last_uses() -> dict[str, float | None]:
        return {token.id: token.last_used_at for token in accounts.list_tokens(connection)}

    assert accounts.authenticate_token(connection, shown).touch_due
    assert used() == pytest.approx(connection.execute(select(now())).scalar_one(), abs=5)
    for ago, due in ((50, False), (70, True)):
        connection.execute(update(tables.tokens).values(last_used_at=now() - ago))
        before = last_uses()
        token = accounts.authenticate_token(connection, shown)
        assert token.touch_due is due
        assert (used() != before[token.id]) is due
        assert last_uses()[other.id] == before[other.id]


def test_looking_a_token_or_session_up_writes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        token, shown = create(connection)
        cookie = accounts.open_session(connection, token, DAY)
    reading = open_engine(engine.url.render_as_string(hide_password=False), read_only=True)
    statements: list[str] = []
    event.listen(reading, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    with engine.begin() as writing, reading.connect() as connection:
        accounts.touch(writing, token)  # holds the row, and SQLite's lock, meanwhile
        assert (
            accounts.authenticate_token(connection, shown) == accounts.authenticate_session(connection, cookie) == token
        )
    assert [word for statement in statements if (word := statement.split()[0]) != "BEGIN"] == ["SELECT"] * 2


def test_no_secret_is_in_the_database(engine: Engine) -> None:
    with engine.begin() as connection:
        token, shown = create(connection)
        accounts.touch(connection, token)
        secrets = [
            shown[-43:], accounts.open_session(connection, token, 60), accounts.create_login_link(connection, token),
        ]  # fmt: skip
        accounts.record_action(connection, token, "create token", token.id, {"name": token.name})
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        dump = repr([connection.execute(text(f'SELECT * FROM "{name}"')).all() for name in names])
    assert token.id in dump
    assert [secret for secret in secrets if secret in dump] == []
