"""What a target is still to be told. How it is told is in test_webhooks.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from search.settings import Settings
from search.store import deliveries, searches
from search.store.database import Connection, open_engine
from search.vocabulary.states import Status
from tests.search.stored import submit

BODY = '{"id": "one"}'


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    """A connection to a store with a search that was cancelled after a target was named."""
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        deliveries.register_target(connection, "here")
        searches.request_status(connection, search_id, Status.CANCELLED)
        yield connection


def claimed(connection: Connection, seconds: float = 60) -> deliveries.Delivery:
    (item,) = deliveries.find_pending(connection, "here")
    deliveries.add_pending(connection, "here", [(item, BODY)])
    delivery = deliveries.claim(connection, "here", seconds)
    assert delivery is not None
    return delivery


def test_a_status_is_news_to_those_who_were_there(connection: Connection) -> None:
    deliveries.register_target(connection, "later")
    (item,) = deliveries.find_pending(connection, "here")
    assert (item.status, item.reason) == ("cancelled", "cancelled by a person")
    assert deliveries.find_pending(connection, "later") == []
    assert deliveries.find_pending(connection, "nobody") == []


def test_what_is_stored_is_no_news_and_stored_once(connection: Connection) -> None:
    (item,) = deliveries.find_pending(connection, "here")
    deliveries.add_pending(connection, "here", [(item, BODY)])
    deliveries.add_pending(connection, "here", [(item, '{"id": "another"}')])
    assert deliveries.find_pending(connection, "here") == []
    assert deliveries.count_by_state(connection) == {"waiting": 1, "delivered": 0, "given_up": 0}
    delivery = deliveries.claim(connection, "here", 60)
    assert delivery is not None
    assert (delivery.id, delivery.body, delivery.attempts) == ("one", BODY, 1)


def test_a_delivery_that_somebody_sends_is_due_to_nobody_else_until_the_claim_lapses(connection: Connection) -> None:
    claimed(connection)
    assert not deliveries.is_due(connection, "here")
    assert deliveries.claim(connection, "here", 60) is None


def test_a_claim_that_lapsed_is_taken_by_another_and_the_first_can_fail_it_no_more(connection: Connection) -> None:
    first = claimed(connection, seconds=0)
    second = deliveries.claim(connection, "here", 60)
    assert second is not None
    assert (second.id, second.attempts) == (first.id, 2)
    deliveries.mark_failed(connection, first, "too late", None)
    assert deliveries.count_by_state(connection)["waiting"] == 1


@pytest.mark.parametrize(
    ("wait", "state", "due"), [(0.0, "waiting", True), (60.0, "waiting", False), (None, "given_up", False)]
)
def test_what_failed_is_due_again_later_or_given_up(
    connection: Connection, wait: float | None, state: str, due: bool
) -> None:
    deliveries.mark_failed(connection, claimed(connection), "HTTP 500", wait)
    assert deliveries.count_by_state(connection)[state] == 1
    assert deliveries.is_due(connection, "here") == due


def test_what_was_taken_is_delivered(connection: Connection) -> None:
    deliveries.mark_delivered(connection, claimed(connection, seconds=0), "HTTP 200")
    assert deliveries.count_by_state(connection) == {"waiting": 0, "delivered": 1, "given_up": 0}
    assert not deliveries.is_due(connection, "here")
