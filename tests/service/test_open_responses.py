"""How many responses stay open."""

from __future__ import annotations

import pytest

from search.vocabulary.errors import Busy
from service.open_responses import OpenResponses


@pytest.mark.parametrize(("whose", "limits"), [("a token", (1, 9)), ("a service", (9, 1))])
def test_more_than_a_token_or_a_service_may_have_are_refused_until_one_ends(
    whose: str, limits: tuple[int, int]
) -> None:
    streams = OpenResponses("event streams", *limits)
    with streams.open("ada"):
        with pytest.raises(Busy, match=f"{whose} has at most 1 event streams open at once"), streams.open("ada"):
            raise AssertionError("it was opened")
        assert streams.count == 1
    with streams.open("ada"):
        assert streams.count == 1
    assert streams.count == 0


def test_one_tokens_responses_leave_room_for_anothers() -> None:
    streams = OpenResponses("event streams", 1, 2)
    with streams.open("ada"), streams.open("bob"):
        assert streams.count == 2
