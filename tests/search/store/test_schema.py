"""A database is brought up to date, and one from the future is refused."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from search.store import queries
from search.store.candidates import compute_quartiles
from search.store.database import open_engine
from search.store.schema import current_version, upgrade
from search.vocabulary.errors import StoreUnavailable
from tests.search.stored import finish, open_recorder, submit, train


@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
def test_hosts_that_migrate_at_once_do_not_get_into_each_others_way(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(upgrade, [empty_database_url] * 4))
    assert len(set(versions)) == 1
    assert current_version(open_engine(empty_database_url)) == versions[0]


def test_a_newer_schema_is_refused(database_url: str) -> None:
    upgrade(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE seqnorm_version SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match=r"must not be newer than this program: got schema 9999, known \d+"):
        upgrade(database_url)


SMALL = {"gm": [1, 8], "gc": [1, 4], "seeds": 3, "test_seeds": 2}


LEASE_SECONDS = 1.0


def test_a_search_half_way_through_goes_on_after_an_upgrade(database_url: str) -> None:
    search_id = submit(database_url, **SMALL)
    recorder = open_recorder(database_url, search_id, LEASE_SECONDS)
    train(recorder, search_id, stop_after=8)
    recorder.close()
    engine = open_engine(database_url)
    with engine.begin() as connection:  # as an older version had it
        for column in ("finished", "quartiles"):
            connection.execute(text(f"ALTER TABLE candidates DROP COLUMN {column}"))
        for table in ("webhooks", "deliveries"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("DROP INDEX ix_events_status"))
        for column in ("metric", "mode", "numbers", "provenance", "sweeps", "running", "command", "bound", "samples"):
            connection.execute(text(f"ALTER TABLE searches DROP COLUMN {column}"))
        connection.execute(text("ALTER TABLE searches RENAME COLUMN requested_status TO wanted"))
        connection.execute(text("UPDATE seqnorm_version SET version_num = '0003'"))
    head = upgrade(database_url)
    assert current_version(engine) == head != "0003"
    with engine.connect() as connection:
        seeds = queries.list_seed_values(connection, search_id, "gm")
        boxes = {each.gm: each.quartiles for each in queries.list_quartiles(connection, search_id, "gm", seeds)}
    assert Counter(row.gm for row in seeds) == {1: 3, 8: 3}
    assert boxes == {gm: (*compute_quartiles([row.value for row in seeds if row.gm == gm]),) for gm in (1, 8)}
    time.sleep(1.5 * LEASE_SECONDS)
    assert set(finish(database_url, search_id).values()) == {1}
