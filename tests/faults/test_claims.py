"""Workers that look for work at the same time."""

from __future__ import annotations

import subprocess
import sys
import time

from search.store import leases
from search.store.database import open_engine
from tests.search.stored import submit

CLAIMER = """
import sys, time
from search.vocabulary.errors import Conflict
from search.store import leases
from search.store.database import open_engine
engine = open_engine(sys.argv[1])
time.sleep(max(0, float(sys.argv[2]) - time.time()))
while True:
    with engine.connect() as connection:
        search_id = leases.next_claimable(connection)
    if search_id is None:
        break
    try:
        leases.acquire(engine, search_id, 60)
    except Conflict:
        continue
    print(search_id, flush=True)
"""


def test_workers_on_twenty_searches_never_share_one(database_url: str) -> None:
    ids = [submit(database_url) for _ in range(20)]
    words = [sys.executable, "-c", CLAIMER, database_url, str(time.time() + 3)]
    workers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    taken = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert sorted(search_id for share in taken for search_id in share) == sorted(ids)


def test_higher_priorities_are_taken_first(database_url: str) -> None:
    ids = {priority: submit(database_url, priority=priority) for priority in (0, 5, -5)}
    engine = open_engine(database_url)
    order = []
    while True:
        with engine.connect() as connection:
            search_id = leases.next_claimable(connection)
        if search_id is None:
            break
        leases.acquire(engine, search_id, 60)
        order.append(search_id)
    assert order == [ids[5], ids[0], ids[-5]]
