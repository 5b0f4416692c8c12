"""Which searches a caller may see, and which they may steer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from search.settings import Settings
from search.store.database import open_engine
from search.vocabulary.errors import Denied, NotFound
from service import accounts
from service.api.parameters import require_changeable, require_visible
from service.middleware.access import Caller
from tests.search.stored import submit


@pytest.fixture
def search_id(settings: Settings) -> str:
    """A search of the owner ``local``."""
    return submit(settings.database_url)


@pytest.fixture
def connection(settings: Settings, search_id: str) -> Iterator[Connection]:
    with open_engine(settings.database_url).begin() as connection:
        yield connection


def caller(connection: Connection, owner: str, *scopes: str) -> Caller:
    token, _ = accounts.create_token(connection, name="a test", owner=owner, scopes=scopes, lifetime=None)
    return Caller(token, by_cookie=False)


def test_a_search_is_visible_to_its_owner_and_to_those_who_read_everything(
    connection: Connection, search_id: str
) -> None:
    for who in (("local", "submit"), ("ada", "read"), ("ada", "manage"), ("ada", "admin")):
        assert require_visible(search_id, connection, caller(connection, *who)) == search_id


def test_to_others_a_search_is_as_one_that_is_not_there(connection: Connection, search_id: str) -> None:
    eve = caller(connection, "eve", "submit")
    said = []
    for unseen in (search_id, "0" * len(search_id)):
        with pytest.raises(NotFound) as refusal:
            require_visible(unseen, connection, eve)
        said.append(str(refusal.value).replace(unseen, "ID"))
    assert said == ["no search has the id 'ID'. List them with: seqnorm list"] * 2


def test_a_search_is_steered_by_its_owner_and_by_those_who_manage(connection: Connection, search_id: str) -> None:
    for who in (("local", "submit"), ("ada", "manage"), ("ada", "admin")):
        assert require_changeable(search_id, connection, caller(connection, *who)) == search_id
    with pytest.raises(NotFound):
        require_changeable(search_id, connection, caller(connection, "ada", "submit"))
    for owner, scope in (("local", "read"), ("ada", "read")):
        with pytest.raises(
            Denied, match=f"this search is local's: got a token of {owner} with {scope}. Changing one's own"
        ):
            require_changeable(search_id, connection, caller(connection, owner, scope))
