"""When tokens were last used, stored apart from the requests that use them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from search.settings import Settings
from search.store.database import open_engine
from service import accounts
from service.database import Database
from service.token_uses import TokenUses
from tests.search.stored import prepare


@pytest.fixture
def database(database_url: str, settings: Settings) -> Iterator[Database]:
    """The databases of a service."""
    database = Database(Settings(home=settings.home, db=database_url))
    yield database
    database.close()


def used(database: Database) -> list[bool]:
    """Return of each token whether its use is stored."""
    with database.read_engine.connect() as connection:
        return [token.last_used_at is not None for token in accounts.list_tokens(connection)]


def create(database: Database) -> accounts.Token:
    with database.write() as connection:
        return accounts.create_token(connection, name="a test", owner="ada", scopes=["read"], lifetime=None)[0]


def test_uses_are_stored_together(database: Database) -> None:
    uses = TokenUses(database)
    for token in (create(database), create(database)):
        uses.add(token)
        uses.add(token)
    create(database)
    assert used(database) == [False, False, False]
    uses.store()
    assert sorted(used(database)) == [False, True, True]


def test_a_use_that_cannot_be_stored_for_another_writer_is_stored_later(settings: Settings) -> None:
    prepare(settings.database_url)
    database = Database(settings)
    uses = TokenUses(database)
    uses.add(create(database))
    with open_engine(settings.database_url).begin():
        uses.store()
    with database.write():
        uses.store()
    assert used(database) == [False]
    uses.store()
    assert used(database) == [True]
