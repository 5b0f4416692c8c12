"""Who holds a search, and whose search is run next."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from sqlalchemy import update

from search.plan.spec import parse_spec
from search.plan.stages import make_plan
from search.store import leases, searches, transitions
from search.store.database import Engine, open_engine
from search.store.processes import ProcessIdentity
from search.store.schema import upgrade
from search.store.tables import searches as rows
from search.store.tables import searches as search_rows
from search.vocabulary.errors import Conflict
from search.vocabulary.states import Status
from tests.search.stored import PLANTED, submit
from trainers.recipe import find


def test_a_held_search_cannot_be_taken(database_url: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    leases.acquire(engine, search_id, 60)
    with pytest.raises(Conflict, match=rf"a search has one driver: got {search_id}, which process \d+ on "):
        leases.acquire(engine, search_id, 60)


def test_a_search_whose_holder_is_gone_is_taken_at_once(database_url: str) -> None:
    search_id = submit(database_url)
    engine = open_engine(database_url)
    leases.acquire(engine, search_id, 60)
    with engine.begin() as connection:
        gone = {**asdict(ProcessIdentity.this_process()), "start": "1"}  # the pid lives, the process does not
        connection.execute(update(search_rows).values(holder=gone))
    assert leases.acquire(engine, search_id, 60).epoch == 2


@pytest.fixture
def engine(database_url: str) -> Engine:
    upgrade(database_url)
    return open_engine(database_url)


def queue(engine: Engine, owner: str, priority: int = 0) -> str:
    spec = parse_spec({**PLANTED, "priority": priority})
    with engine.begin() as connection:
        return searches.submit(connection, spec, make_plan(spec, find("planted")), {}, owner=owner)


def turns(engine: Engine, count: int) -> list[str]:
    """Take searches as workers do, one after another; all run at once."""
    taken = []
    for _ in range(count):
        with engine.connect() as connection:
            search_id = leases.next_claimable(connection)
        assert search_id is not None
        leases.acquire(engine, search_id, 60)
        taken.append(search_id)
    return taken


def test_who_has_the_fewest_running_goes_first_then_the_oldest(engine: Engine) -> None:
    many = [queue(engine, "ada") for _ in range(3)]
    few = [queue(engine, "bob") for _ in range(2)]
    assert turns(engine, 5) == [many[0], few[0], many[1], few[1], many[2]]


def test_where_one_runs_after_another_owners_take_turns(engine: Engine) -> None:
    many = [queue(engine, "ada") for _ in range(3)]
    few = [queue(engine, "bob") for _ in range(2)]
    taken = []
    for _ in range(5):
        taken += turns(engine, 1)
        with engine.begin() as connection:
            transitions.set_status(connection, taken[-1], Status.DONE, "")
    assert taken == [many[0], few[0], many[1], few[1], many[2]]


def test_searches_that_were_lost_do_not_count_as_running(engine: Engine) -> None:
    lost = [queue(engine, "ada") for _ in range(2)]
    other = queue(engine, "bob")
    turns(engine, 3)
    again = queue(engine, "bob")
    with engine.begin() as connection:
        connection.execute(update(rows).where(rows.c.id.in_(lost)).values(lease_until=0))
    assert turns(engine, 3) == [*lost, again]
    assert other != again


def test_a_higher_priority_goes_before_all_of_that(engine: Engine) -> None:
    first, second = queue(engine, "ada"), queue(engine, "ada", priority=1)
    other = queue(engine, "bob")
    assert turns(engine, 3) == [second, other, first]


def test_a_search_whose_driver_is_lost_does_not_stand_in_its_own_way(engine: Engine) -> None:
    lost, other = queue(engine, "ada"), queue(engine, "bob")
    turns(engine, 1)
    with engine.begin() as connection:
        connection.execute(update(rows).where(rows.c.id == lost).values(lease_until=0))
    assert turns(engine, 2) == [lost, other]


def test_a_lease_that_was_released_is_not_renewed(engine: Engine) -> None:
    search_id = queue(engine, "ada")
    lease = leases.acquire(engine, search_id, 60)
    with engine.begin() as connection:
        transitions.set_status(connection, search_id, Status.QUEUED, "")
        leases.release(connection, lease)
        leases.renew(connection, lease, 60)
        assert leases.next_claimable(connection) == search_id


def test_a_queued_search_is_not_claimed_while_its_trials_are_ended(engine: Engine) -> None:
    search_id = queue(engine, "ada")
    with engine.begin() as connection:
        lease = leases.hold(connection, search_id, 60)
        assert leases.next_claimable(connection) is None
        leases.expire(connection, lease)
        assert leases.next_claimable(connection) == search_id
