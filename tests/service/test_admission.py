"""Who may use the database, who waits, and for how long."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, lists, sampled_from, tuples

from search.vocabulary.errors import Busy
from service.admission import Admission, Lane, Queue
from tests.service.loops import run

ONE = dict.fromkeys(Lane, 1)


def test_a_request_without_a_place_waits_for_one_and_is_then_refused() -> None:
    async def arrive() -> None:
        admission = Admission(ONE, wait_seconds=0.01)
        async with admission.place(Lane.READ, "ada"):
            with pytest.raises(
                Busy, match=r"handles 1 read requests at once: all places stayed taken for 0.01 s. Try again shortly"
            ):
                async with admission.place(Lane.READ, "ada"):
                    raise AssertionError("there was no place")
        async with admission.place(Lane.READ, "ada"):
            pass

    run(arrive())


def test_places_are_given_in_the_order_of_arrival() -> None:
    async def arrive() -> list[int]:
        admission, served = Admission(ONE, wait_seconds=60), list[int]()

        async def ask(number: int) -> None:
            async with admission.place(Lane.READ, "ada"):
                served.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*map(ask, range(20)))
        return served

    assert run(arrive()) == list(range(20))


def test_a_crowd_of_one_caller_delays_another_by_one_turn() -> None:
    async def arrive() -> list[str]:
        admission, served = Admission(ONE, wait_seconds=60), list[str]()

        async def ask(who: str) -> None:
            async with admission.place(Lane.READ, who):
                served.append(who)
                await asyncio.sleep(0)

        await asyncio.gather(*map(ask, ["ada"] * 50 + ["bob"] * 2 + ["eve"]))
        return served

    served = run(arrive())
    assert served[:6] == ["ada", "ada", "bob", "eve", "ada", "bob"]
    assert len(served) == 53


STEPS = tuples(sampled_from(["come", "end", "leave", "end and leave"]), integers(0, 9), integers(0, 9), booleans())


@settings(max_examples=100, deadline=None, database=None)
@given(lists(STEPS, max_size=25))
def test_places_are_never_lost_or_doubled_whoever_leaves_when(steps: list[tuple[str, int, int, bool]]) -> None:
    """People come, end, give up while they wait, and give up in the moment in which they get their turn."""

    async def arrive() -> None:
        queue = Queue(2)
        ends: dict[asyncio.Task[None], asyncio.Event] = {}
        inside = most = 0

        async def hold(end: asyncio.Event, who: str) -> None:
            nonlocal inside, most
            await queue.take(who)
            inside += 1
            most = max(most, inside)
            try:
                await end.wait()
            finally:
                inside -= 1
                queue.give_back()

        for action, one, other, pause in steps:
            if action == "come":
                end = asyncio.Event()
                ends[asyncio.create_task(hold(end, "ab"[one % 2]))] = end
            elif ends:
                if "end" in action:
                    [*ends.values()][one % len(ends)].set()
                if "leave" in action:
                    [*ends][other % len(ends)].cancel()
            if pause:
                await asyncio.sleep(0)
        for end in ends.values():
            end.set()
        await asyncio.gather(*ends, return_exceptions=True)
        assert (inside, most <= 2) == (0, True)
        async with asyncio.timeout(1):
            await queue.take("a")
            await queue.take("b")

    run(arrive())


def test_a_place_is_given_back_once_whether_early_or_at_the_end() -> None:
    async def arrive() -> None:
        admission = Admission(ONE, wait_seconds=0.01)
        async with admission.place(Lane.READ, "ada") as give_back:
            give_back()
            give_back()
            async with admission.place(Lane.READ, "ada"):
                with pytest.raises(Busy):
                    async with admission.place(Lane.READ, "ada"):
                        raise AssertionError("a place was given twice")

    run(arrive())


def test_a_place_is_given_back_by_who_fails_and_by_who_leaves_the_queue() -> None:
    async def arrive() -> None:
        admission = Admission(ONE, wait_seconds=60)
        with pytest.raises(ZeroDivisionError):
            async with admission.place(Lane.READ, "ada"):
                raise ZeroDivisionError

        async def ask() -> None:
            async with admission.place(Lane.READ, "ada"):
                await asyncio.sleep(60)

        holding, waiting = asyncio.create_task(ask()), asyncio.create_task(ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for left in (waiting, holding):
            left.cancel()
        async with admission.place(Lane.READ, "ada"):
            pass

    run(arrive())


def test_writers_do_not_wait_for_readers() -> None:
    async def arrive() -> None:
        admission = Admission(ONE, wait_seconds=0.01)
        async with admission.place(Lane.READ, "ada"), admission.place(Lane.WRITE, "ada"):
            assert await admission.run(Lane.FOLLOW, "ada", int, "3") == 3

    run(arrive())


def test_pieces_of_responses_wait_for_one_another_however_long_it_takes() -> None:
    async def follow() -> int:
        admission, at_once, most = Admission(ONE, wait_seconds=0.001), threading.Semaphore(1), list[bool]()

        def read() -> None:
            most.append(at_once.acquire(blocking=False))
            threading.Event().wait(0.01)  # longer than a request would wait
            at_once.release()

        await asyncio.gather(*(admission.run(Lane.FOLLOW, "ada", read) for _ in range(5)))
        assert all(most)
        return len(most)

    assert run(follow()) == 5
