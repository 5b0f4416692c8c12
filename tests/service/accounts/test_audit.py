"""Who did what, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine, select

from search.store.database import now
from service import accounts
from tests.service.accounts.conftest import create, failing


def test_the_audit_says_who_did_what_to_which_subject(connection: Connection) -> None:
    token, _ = create(connection)
    accounts.record_action(connection, token, "submit", "search1", {"name": "a\0b \ud800"})
    accounts.record_action(connection, None, "cancel", "search2", {})
    accounts.record_action(connection, token, "cancel", "search1", {})
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
        accounts.record_action(connection, None, "submit", "search1", {})
    with engine.connect() as connection:
        assert accounts.list_audit(connection) == []
