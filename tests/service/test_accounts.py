"""Accounts on SQLite and on PostgreSQL: tokens, sessions, login links, repeated requests, audit."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, func, insert, inspect, select, text, update

import search.store
from search.errors import Conflict, InvalidSpec, NotFound
from search.store import tables
from search.store.database import now, open_engine
from search.store.schema import upgrade
from service import accounts
from service.accounts import Answer, Token

DAY = 24 * 3600
POST = {"recipe": "planted", "gm": [1, 2]}


@pytest.fixture
def engine(database_url: str) -> Engine:
    upgrade(database_url)
    return open_engine(database_url)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def create(connection: Connection, **changes: Any) -> tuple[Token, str]:
    asked = {"name": "laptop", "owner": "ada", "scopes": ["read", "submit"], "lasts": None}
    return accounts.create_token(connection, **asked | changes)


def count(connection: Connection, table: Any) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


@contextmanager
def failing(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that is undone."""
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def at_once(number: int, function: Callable[[], Any]) -> list[Any]:
    """Call a function in many threads, which start it together; return what each call returned."""
    barrier = threading.Barrier(number)

    def call(_: int) -> Any:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(call, range(number)))


# Tokens


def test_a_token_is_found_by_its_text(connection: Connection) -> None:
    token, shown = create(connection, lasts=DAY)
    assert re.fullmatch(rf"seqnorm_{token.id}_[A-Za-z0-9_-]{{43}}", shown)
    assert re.fullmatch("[0-9a-hjkmnp-tv-z]{12}", token.id)
    assert accounts.token_of(connection, shown) == token
    assert (token.name, token.owner, token.scopes) == ("laptop", "ada", ("read", "submit"))
    assert token.expires_at == pytest.approx(token.created_at + DAY, abs=1)
    assert token.created_at == pytest.approx(connection.execute(select(now())).scalar_one(), abs=5)
    assert (token.revoked_at, token.last_used_at, token.active) == (None, None, True)


def test_every_token_has_its_own_id_and_secret(connection: Connection) -> None:
    made = [create(connection) for _ in range(5)]
    assert len({token.id for token, _ in made}) == len({shown[-43:] for _, shown in made}) == 5
    assert [accounts.token_of(connection, shown) for _, shown in made] == [token for token, _ in made]


def test_the_secret_of_another_token_does_not_fit(connection: Connection) -> None:
    (token, first), (_, second) = create(connection), create(connection)
    assert accounts.token_of(connection, f"seqnorm_{token.id}_{second[-43:]}") is None
    changed = "A" if first[-1] != "A" else "B"
    assert accounts.token_of(connection, first[:-1] + changed) is None


ODD = [
    "", "{}\n", " {}", "{}A", "Bearer {}", "\0", "{}\0", "seqnorm_\0", "\ud800", "seqnorm__", "_" * 100_000,
    "' OR 1=1 --", *("seqnorm_000000000000_" + 43 * character for character in ("A", "\ud800", "٣")),
]  # fmt: skip


def test_odd_text_is_no_token_no_session_and_no_link(connection: Connection) -> None:
    _, shown = create(connection)
    for odd in (wrong.replace("{}", shown) for wrong in ODD):
        assert accounts.token_of(connection, odd) is None
        assert accounts.session_of(connection, odd) is None
        assert accounts.redeem_link(connection, odd) is None


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
    ({"lasts": 0}, "a lifetime must be a positive number of seconds: got 0"),
    ({"lasts": float("nan")}, "a lifetime must be a positive number of seconds: got nan"),
    ({"lasts": float("inf")}, "a lifetime must be a positive number of seconds: got inf"),
]


def test_a_token_that_cannot_be_is_refused(connection: Connection) -> None:
    for changes, words in REFUSED:
        with pytest.raises(InvalidSpec, match=words):
            create(connection, **changes)
    assert count(connection, tables.tokens) == 0


def test_a_token_expires_on_the_clock_of_the_database(connection: Connection) -> None:
    token, shown = create(connection, lasts=DAY)
    cookie = accounts.open_session(connection, token, DAY)
    code = accounts.open_link(connection, token)
    connection.execute(update(tables.tokens).values(expires_at=now() + 30))
    assert accounts.token_of(connection, shown) is not None
    connection.execute(update(tables.tokens).values(expires_at=now() - 0.001))
    assert accounts.token_of(connection, shown) is None
    assert accounts.session_of(connection, cookie) is None
    assert accounts.redeem_link(connection, code) is None
    assert [listed.active for listed in accounts.list_tokens(connection)] == [False]


def test_a_revoked_token_is_refused_with_its_sessions_and_links(connection: Connection) -> None:
    (token, shown), (other, other_shown) = create(connection), create(connection)
    cookie, kept = (accounts.open_session(connection, each, DAY) for each in (token, other))
    code = accounts.open_link(connection, token)
    accounts.revoke(connection, token.id)
    assert accounts.token_of(connection, shown) is None
    assert accounts.session_of(connection, cookie) is None
    assert accounts.redeem_link(connection, code) is None
    assert accounts.token_of(connection, other_shown) == accounts.session_of(connection, kept) == other
    assert count(connection, tables.sessions) == 1


def test_a_session_opened_while_its_token_was_revoked_is_refused(connection: Connection) -> None:
    token, _ = create(connection)
    accounts.revoke(connection, token.id)
    assert accounts.session_of(connection, accounts.open_session(connection, token, DAY)) is None
    assert accounts.redeem_link(connection, accounts.open_link(connection, token)) is None


def test_revoking_again_changes_nothing(connection: Connection) -> None:
    token, _ = create(connection)
    accounts.revoke(connection, token.id)
    connection.execute(update(tables.tokens).values(revoked_at=1000.0))
    accounts.revoke(connection, token.id)
    assert [listed.revoked_at for listed in accounts.list_tokens(connection)] == [1000.0]


def test_revoking_an_unknown_token_is_refused(connection: Connection) -> None:
    token, shown = create(connection)
    for unknown in ("0" * 12, "", "\0", "\ud800", "' OR 1=1 --"):
        with pytest.raises(NotFound, match=f"no token has the id {re.escape(repr(unknown))}. List them with:"):
            accounts.revoke(connection, unknown)
    assert accounts.token_of(connection, shown) == token


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
        token = accounts.token_of(connection, shown)
        assert token is not None
        accounts.touch(connection, token)
        return last_uses()[token.id]

    def last_uses() -> dict[str, float | None]:
        return {token.id: token.last_used_at for token in accounts.list_tokens(connection)}

    assert accounts.token_of(connection, shown).touch_due
    assert used() == pytest.approx(connection.execute(select(now())).scalar_one(), abs=5)
    for ago, due in ((50, False), (70, True)):
        connection.execute(update(tables.tokens).values(last_used_at=now() - ago))
        before = last_uses()
        token = accounts.token_of(connection, shown)
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
        assert accounts.token_of(connection, shown) == accounts.session_of(connection, cookie) == token
    assert [word for statement in statements if (word := statement.split()[0]) != "BEGIN"] == ["SELECT"] * 2


# Sessions and login links


def test_a_session_lasts_until_it_expires(connection: Connection) -> None:
    token, _ = create(connection)
    cookie = accounts.open_session(connection, token, 60)
    assert re.fullmatch("[A-Za-z0-9_-]{43}", cookie)
    assert accounts.session_of(connection, cookie) == token
    row = connection.execute(select(tables.sessions)).one()
    assert row.expires_at == pytest.approx(row.created_at + 60, abs=1)
    connection.execute(update(tables.sessions).values(expires_at=now() - 0.001))
    assert accounts.session_of(connection, cookie) is None


def test_closing_a_session_ends_it_alone(connection: Connection) -> None:
    token, _ = create(connection)
    cookie, other = (accounts.open_session(connection, token, 60) for _ in range(2))
    accounts.close_session(connection, cookie)
    accounts.close_session(connection, "never opened")
    assert accounts.session_of(connection, cookie) is None
    assert accounts.session_of(connection, other) == token


def test_a_link_is_redeemed_once(connection: Connection) -> None:
    token, _ = create(connection)
    code = accounts.open_link(connection, token)
    row = connection.execute(select(tables.sessions)).one()
    assert row.expires_at == pytest.approx(row.created_at + 600, abs=1)
    assert [accounts.redeem_link(connection, code) for _ in range(2)] == [token, None]


def test_an_expired_link_is_refused(connection: Connection) -> None:
    token, _ = create(connection)
    code = accounts.open_link(connection, token)
    connection.execute(update(tables.sessions).values(expires_at=now() - 0.001))
    assert accounts.redeem_link(connection, code) is None


def test_a_cookie_is_no_link_and_a_link_is_no_cookie(connection: Connection) -> None:
    token, _ = create(connection)
    cookie, code = accounts.open_session(connection, token, 60), accounts.open_link(connection, token)
    assert accounts.redeem_link(connection, cookie) is None
    assert accounts.session_of(connection, code) is None
    accounts.close_session(connection, code)
    assert accounts.session_of(connection, cookie) == accounts.redeem_link(connection, code) == token


def test_a_session_that_would_not_end_in_the_future_is_refused(connection: Connection) -> None:
    token, _ = create(connection)
    opened = (accounts.open_session, accounts.open_link)
    for opening, lasts in itertools.product(opened, (0, -1, float("nan"), float("inf"))):
        with pytest.raises(InvalidSpec, match=f"a lifetime must be a positive number of seconds: got {lasts}"):
            opening(connection, token, lasts)


def test_of_requests_that_race_one_redeems_a_link(engine: Engine) -> None:
    with engine.begin() as connection:
        token, _ = create(connection)
        code = accounts.open_link(connection, token)

    def redeem() -> Token | None:
        with engine.begin() as connection:
            return accounts.redeem_link(connection, code)

    answers = at_once(12, redeem)
    assert [answer for answer in answers if answer] == [token]


def test_no_secret_is_in_the_database(engine: Engine) -> None:
    with engine.begin() as connection:
        token, shown = create(connection)
        accounts.touch(connection, token)
        secrets = [
            shown[-43:], accounts.open_session(connection, token, 60), accounts.open_link(connection, token),
        ]  # fmt: skip
        accounts.record(connection, token, "create token", token.id, {"name": token.name})
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        dump = repr([connection.execute(text(f'SELECT * FROM "{name}"')).all() for name in names])
    assert token.id in dump
    assert [secret for secret in secrets if secret in dump] == []


def test_sweeping_removes_what_has_ended_and_nothing_else(connection: Connection) -> None:
    token, _ = create(connection)
    cookies = [accounts.open_session(connection, token, 60) for _ in range(2)]
    codes = [accounts.open_link(connection, token) for _ in range(2)]
    for key in ("old", "young"):
        accounts.begin_reply(connection, "ada", key, POST)
        accounts.keep_reply(connection, "ada", key, Answer(201, key))
    for ended in (cookies[0], codes[0]):
        hashed = accounts.tokens.hashed(ended)
        connection.execute(
            update(tables.sessions).where(tables.sessions.c.hash == hashed).values(expires_at=now() - 0.001)
        )
    for key, age in (("old", DAY + 1), ("young", DAY - 60)):
        connection.execute(update(tables.replies).where(tables.replies.c.key == key).values(at=now() - age))
    assert accounts.sweep(connection) == 3
    assert accounts.sweep(connection) == 0
    assert connection.execute(select(tables.replies.c.key)).scalars().all() == ["young"]
    assert accounts.session_of(connection, cookies[1]) == accounts.redeem_link(connection, codes[1]) == token


# Repeated requests


def test_a_repeated_request_gets_the_first_ones_answer(connection: Connection) -> None:
    assert accounts.begin_reply(connection, "ada", "key", POST) is None
    accounts.keep_reply(connection, "ada", "key", Answer(201, {"id": "abc"}))
    assert accounts.begin_reply(connection, "ada", "key", POST) == Answer(201, {"id": "abc"})
    reordered = dict(reversed(POST.items()))
    assert accounts.begin_reply(connection, "ada", "key", reordered) == Answer(201, {"id": "abc"})


def test_an_empty_answer_is_an_answer(connection: Connection) -> None:
    accounts.begin_reply(connection, "ada", "key", b"")
    accounts.keep_reply(connection, "ada", "key", Answer(204, None))
    assert accounts.begin_reply(connection, "ada", "key", b"") == Answer(204, None)


def test_a_key_with_another_body_is_refused(connection: Connection) -> None:
    pairs = {"a": (POST, {**POST, "gm": [2, 1]}), "b": (b"{}", b"{ }"), "c": ({}, []), "d": (1, True)}
    for key, (first, second) in pairs.items():
        accounts.begin_reply(connection, "ada", key, first)
        accounts.keep_reply(connection, "ada", key, Answer(201, {}))
        with pytest.raises(InvalidSpec, match=f"stands for one request: got '{key}' with another body than before"):
            accounts.begin_reply(connection, "ada", key, second)


def test_keys_of_two_owners_do_not_meet(connection: Connection) -> None:
    accounts.begin_reply(connection, "ada", "key", POST)
    accounts.keep_reply(connection, "ada", "key", Answer(201, {}))
    assert accounts.begin_reply(connection, "bob", "key", POST) is None
    assert accounts.begin_reply(connection, "ada", "other", POST) is None


def test_a_malformed_key_is_refused(connection: Connection) -> None:
    for key in ("", "a b", "k" * 256, "\0", "\ud800", "é", "key\n"):
        with pytest.raises(InvalidSpec, match=r"an Idempotency-Key must be 1 to 255 printable ASCII .*: got '"):
            accounts.begin_reply(connection, "ada", key, POST)


def test_an_answer_is_forgotten_after_a_day_swept_or_not(connection: Connection) -> None:
    accounts.begin_reply(connection, "ada", "k" * 255, POST)
    accounts.keep_reply(connection, "ada", "k" * 255, Answer(201, {}))
    connection.execute(update(tables.replies).values(at=now() - DAY + 60))
    assert accounts.begin_reply(connection, "ada", "k" * 255, POST) == Answer(201, {})
    connection.execute(update(tables.replies).values(at=now() - DAY - 1))
    assert accounts.begin_reply(connection, "ada", "k" * 255, {"another": "body"}) is None


def test_a_request_committed_without_an_answer_is_in_progress(engine: Engine) -> None:
    with engine.begin() as connection:
        accounts.begin_reply(connection, "ada", "key", POST)
    with engine.begin() as connection, pytest.raises(Conflict, match=r"'key' is still in progress. Repeat it"):
        accounts.begin_reply(connection, "ada", "key", POST)
    with engine.begin() as connection:
        accounts.keep_reply(connection, "ada", "key", Answer(201, {}))
        assert accounts.begin_reply(connection, "ada", "key", POST) == Answer(201, {})


def test_a_request_that_fails_leaves_its_key_free(engine: Engine) -> None:
    with failing(engine) as connection:
        accounts.begin_reply(connection, "ada", "key", POST)
    with engine.begin() as connection:
        assert accounts.begin_reply(connection, "ada", "key", {"another": "body"}) is None


def test_an_answer_is_kept_once_and_for_a_request_that_was_begun(connection: Connection) -> None:
    with pytest.raises(Conflict, match=r"an answer is kept once, for a request that was begun: .* for 'key'"):
        accounts.keep_reply(connection, "ada", "key", Answer(201, {}))
    accounts.begin_reply(connection, "ada", "key", POST)
    accounts.keep_reply(connection, "ada", "key", Answer(201, {"n": 1}))
    with pytest.raises(Conflict, match="an answer is kept once"):
        accounts.keep_reply(connection, "ada", "key", Answer(201, {"n": 2}))
    assert accounts.begin_reply(connection, "ada", "key", POST) == Answer(201, {"n": 1})


def add_search(connection: Connection, search_id: str) -> None:
    connection.execute(
        insert(tables.searches).values(
            id=search_id, created_at=now(), owner="ada", name="kept", note="", tags=["a"], recipe="planted",
            strategy="grid", spec={"gm": [1]}, digest={}, planned=1, status="queued", reason="", priority=0,
            retried_upto=0, epoch=0,
        )
    )  # fmt: skip


def test_fifty_identical_posts_at_once_store_one_search(engine: Engine) -> None:
    ids = iter(f"search{n}" for n in range(50))

    def post() -> Answer:
        with engine.begin() as connection:
            earlier = accounts.begin_reply(connection, "ada", "key", POST)
            if earlier is not None:
                return earlier
            search_id = next(ids)
            add_search(connection, search_id)
            answer = Answer(201, {"id": search_id})
            accounts.keep_reply(connection, "ada", "key", answer)
            return answer

    assert at_once(50, post) == [Answer(201, {"id": "search0"})] * 50
    with engine.connect() as connection:
        assert connection.execute(select(tables.searches.c.id)).scalars().all() == ["search0"]


def test_the_second_of_two_posts_goes_on_if_the_first_fails(engine: Engine) -> None:
    begun, started = threading.Event(), threading.Event()

    def second() -> Answer | None:
        begun.wait(30)
        started.set()
        with engine.begin() as connection:  # on SQLite it waits here, on PostgreSQL in begin_reply
            return accounts.begin_reply(connection, "ada", "key", {"another": "body"})

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second)
        with failing(engine) as connection:
            accounts.begin_reply(connection, "ada", "key", POST)
            begun.set()
            started.wait(30)
        assert waiting.result(30) is None


# Audit


def test_the_audit_says_who_did_what_to_which_subject(connection: Connection) -> None:
    token, _ = create(connection)
    accounts.record(connection, token, "submit", "search1", {"name": "a\0b \ud800"})
    accounts.record(connection, None, "cancel", "search2", {})
    accounts.record(connection, token, "cancel", "search1", {})
    first, second, third = accounts.list_audit(connection)
    assert (first.token_id, first.owner, first.action, first.subject) == (token.id, "ada", "submit", "search1")
    assert first.detail == {"name": "a\0b \ud800"}
    assert first.at == pytest.approx(connection.execute(select(now())).scalar_one(), abs=5)
    assert (second.token_id, second.owner, second.action, second.subject) == (None, "local", "cancel", "search2")
    assert first.id < second.id < third.id
    assert accounts.list_audit(connection, "search1") == [first, third]
    assert accounts.list_audit(connection, "search1", after=first.id) == [third]
    assert accounts.list_audit(connection, limit=2) == [first, second]
    for odd in ("search", "\0", "\ud800", "' OR 1=1 --"):
        assert accounts.list_audit(connection, odd) == []


def test_what_is_undone_is_not_in_the_audit(engine: Engine) -> None:
    with failing(engine) as connection:
        accounts.record(connection, None, "submit", "search1", {})
    with engine.connect() as connection:
        assert accounts.list_audit(connection) == []


# Migration


def test_a_database_from_before_accounts_is_migrated_with_its_rows(database_url: str) -> None:
    engine = open_engine(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(search.store.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0001")
        assert "tokens" not in inspect(connection).get_table_names()
        add_search(connection, "before")
        connection.execute(insert(tables.events).values(search_id="before", at=1.5, kind="submitted", detail={"n": 1}))
        kept = [connection.execute(select(table)).all() for table in (tables.searches, tables.events)]
    assert upgrade(database_url) >= "0002"
    with engine.begin() as connection:
        assert [connection.execute(select(table)).all() for table in (tables.searches, tables.events)] == kept
        token, shown = create(connection)
        assert accounts.token_of(connection, shown) == token


def test_the_migrations_make_the_tables_that_the_program_knows(connection: Connection) -> None:
    def ours(_: Any, name: str | None, kind: str, *__: Any) -> bool:
        return kind != "table" or name in tables.metadata.tables

    context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
    assert compare_metadata(context, tables.metadata) == []
