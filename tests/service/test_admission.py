"""Who may use the database, who waits, and for how long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from search.vocabulary.errors import Busy
from service.admission import Admission, Lane
from tests.service.loops import run

ONE = dict.fromkeys(Lane, 1)


def test_a_request_without_a_place_waits_for_one_and_is_then_refused() -> None:
    async def arrive() -> None:
        admission = Admission(ONE, wait_seconds=0.01)
        async with admission.place(Lane.READ):
            with pytest.raises(Busy, match=r"at most 1 read requests at once: got more, .* 0.01 s. Try again shortly"):
                async with admission.place(Lane.READ):
                    raise AssertionError("there was no place")
        async with admission.place(Lane.READ):
            pass

    run(arrive())


def test_places_are_given_in_the_order_of_arrival() -> None:
    async def arrive() -> list[int]:
        admission, served = Admission(ONE, wait_seconds=60), list[int]()

        async def ask(number: int) -> None:
            async with admission.place(Lane.READ):
                served.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*map(ask, range(20)))
        return served

    assert run(arrive()) == list(range(20))


def test_a_place_is_given_back_once_whether_early_or_at_the_end() -> None:
    async def arrive() -> None:
        admission = Admission(ONE, wait_seconds=0.01)
        async with admission.place(Lane.READ) as give_back:
            give_back()
            give_back()
            async with admission.place(Lane.READ):
                with pytest.raises(Busy):
                    async with admission.place(Lane.READ):
                        raise AssertionError("a place was given twice")

    run(arrive())


def test_a_place_is_given_back_by_who_fails_and_by_who_leaves_the_queue() -> None:
    async def arrive() -> None:
        admission = Admission(ONE, wait_seconds=60)
        with pytest.raises(ZeroDivisionError):
            async with admission.place(Lane.READ):
                raise ZeroDivisionError

        async def ask() -> None:
            async with admission.place(Lane.READ):
                await asyncio.sleep(60)

        holding, waiting = asyncio.create_task(ask()), asyncio.create_task(ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for left in (waiting, holding):
            left.cancel()
        async with admission.place(Lane.READ):
            pass

    run(arrive())


def test_writers_do_not_wait_for_readers() -> None:
    async def arrive() -> None:
        admission = Admission(ONE, wait_seconds=0.01)
        async with admission.place(Lane.READ), admission.place(Lane.WRITE):
            assert await admission.run(int, "3") == 3

    run(arrive())


def test_pieces_of_responses_wait_for_one_another_however_long_it_takes() -> None:
    async def follow() -> int:
        admission, at_once, most = Admission(ONE, wait_seconds=0.001), threading.Semaphore(1), list[bool]()

        def read() -> None:
            most.append(at_once.acquire(blocking=False))
            threading.Event().wait(0.01)  # longer than a request would wait
            at_once.release()

        await asyncio.gather(*(admission.run(read) for _ in range(5)))
        assert all(most)
        return len(most)

    assert run(follow()) == 5
