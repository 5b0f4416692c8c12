"""Rows that may be there already, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import JSON, Column, Engine, Integer, MetaData, String, Table, func, literal, select

from search.store.database import now, open_engine
from search.store.upsert import insert_or_ignore, upsert
from tests.test_architecture import IMPORTS

THINGS = Table(
    "things",
    MetaData(),
    Column("owner", String(8), primary_key=True),
    Column("name", String(8), primary_key=True),
    Column("value", JSON),
    Column("count", Integer),
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    THINGS.metadata.create_all(engine)
    yield engine
    engine.dispose()


def things(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(THINGS).order_by(THINGS.c.owner, THINGS.c.name))]


def thing(name: str, value: object, count: int | None = None) -> dict[str, object]:
    return {"owner": "ada", "name": name, "value": value, "count": count}


def test_a_row_that_is_put_again_is_changed_where_it_is_to_be_and_nowhere_else(engine: Engine) -> None:
    with engine.begin() as connection:
        upsert(connection, THINGS, thing("a", [1], 1), ("value",))
        upsert(connection, THINGS, thing("b", {"x": None}, 2), ("value",))
        upsert(connection, THINGS, thing("a", [2, "ü"], 5), ("value",))
    assert things(engine) == [("ada", "a", [2, "ü"], 1), ("ada", "b", {"x": None}, 2)]


def test_what_the_database_computes_may_be_put(engine: Engine) -> None:
    with engine.begin() as connection:
        for _ in range(2):
            upsert(connection, THINGS, {"owner": "ada", "name": "a", "count": func.round(now())}, ("count",))
    ((*_, count),) = things(engine)
    assert isinstance(count, int)
    assert count > 1_600_000_000


def test_what_is_added_leaves_a_row_that_is_there_and_says_which_it_stored(engine: Engine) -> None:
    with engine.begin() as connection:
        first, second = (
            connection.execute(insert_or_ignore(connection, THINGS).values(**row).returning(THINGS.c.name)).all()
            for row in (thing("a", 1), thing("a", 2))
        )
        connection.execute(insert_or_ignore(connection, THINGS), [thing("a", 3), thing("b", 3)])
        copies = select(literal("bob"), THINGS.c.name, THINGS.c.value).where(THINGS.c.owner == "ada")
        for _ in range(2):
            connection.execute(insert_or_ignore(connection, THINGS).from_select(["owner", "name", "value"], copies))
    assert ([tuple(row) for row in first], second) == ([("a",)], [])
    ours = [(owner, name, value) for owner, name, value, _ in things(engine)]
    assert ours == [("ada", "a", 1), ("ada", "b", 3), ("bob", "a", 1), ("bob", "b", 3)]


def test_two_who_put_the_same_row_at_the_same_time_leave_one(engine: Engine) -> None:
    start = threading.Barrier(2)

    def write(count: int) -> None:
        start.wait()
        with engine.begin() as connection:
            upsert(connection, THINGS, thing("a", count, 0), ("value",))

    threads = [threading.Thread(target=write, args=(count,)) for count in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((_, name, value, count),) = things(engine)
    assert (name, count) == ("a", 0)
    assert value in (1, 2)


def test_nobody_else_spells_out_what_only_one_database_understands() -> None:
    assert {found.file for found in IMPORTS if found.name.startswith("sqlalchemy.dialects")} == {
        "search/store/upsert.py"
    }
