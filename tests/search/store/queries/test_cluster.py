"""What runs where, and what waits for what."""

from __future__ import annotations

from search.store import leases, queries
from search.store.database import open_engine
from tests.search.stored import submit


def test_the_cluster_page_counts_places_in_that_order(database_url: str) -> None:
    many = [submit(database_url, owner="ada") for _ in range(3)]
    other = submit(database_url, owner="bob")
    engine = open_engine(database_url)
    leases.acquire(engine, many[0], 60)
    with engine.connect() as connection:
        waiting = queries.show_cluster(connection).waiting
    assert [(each.position, each.search) for each in waiting] == [(1, other), (2, many[1]), (3, many[2])]
