"""A route takes what it needs in its own thread, uses it and gives it back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from service.route import Later, OneVisitRoute

seen: list[str] = []


@contextmanager
def opened(name: str) -> Iterator[str]:
    seen.append(f"open {name} in {threading.current_thread().name}")
    yield name
    seen.append(f"close {name} in {threading.current_thread().name}")


async def get_connection() -> Later[str]:
    return Later(lambda stack: stack.enter_context(opened("connection")))


async def get_search(number: int, connection: Annotated[Later[str], Depends(get_connection)]) -> Later[str]:
    def check() -> str:
        if number == 0:
            raise LookupError
        return f"search {number}"

    return Later(lambda stack: f"{check()} by {connection.get(stack)}")


def client() -> TestClient:
    """Return a client of one route that works in a thread and one that is a coroutine."""
    app = FastAPI()
    app.router.route_class = OneVisitRoute

    @app.get("/threaded/{number}")
    def threaded(search: Annotated[str, Depends(get_search)], also: Annotated[str, Depends(get_connection)]) -> str:
        seen.append(f"use in {threading.current_thread().name}")
        return f"{search}, {also}"

    @app.get("/coroutine/{number}")
    async def coroutine(search: Annotated[str, Depends(get_search)]) -> str:
        seen.append("use")
        return search

    seen.clear()
    return TestClient(app, raise_server_exceptions=False)


def test_a_route_opens_uses_and_closes_in_one_thread_and_once() -> None:
    assert client().get("/threaded/3").json() == "search 3 by connection, connection"
    assert [each.split(" in ")[0] for each in seen] == ["open connection", "use", "close connection"]
    assert len({each.split(" in ")[1] for each in seen}) == 1


def test_a_coroutine_gets_what_it_needs_when_nothing_is_open_any_more() -> None:
    assert client().get("/coroutine/3").json() == "search 3 by connection"
    assert [each.split(" in ")[0] for each in seen] == ["open connection", "close connection", "use"]


def test_a_route_whose_parameter_is_refused_is_not_entered_and_closes_what_was_opened() -> None:
    for path in ("/threaded/0", "/coroutine/0"):
        assert client().get(path).status_code == 500
        assert not [each for each in seen if each.startswith("use")]
    assert client().get("/threaded/x").status_code == 422
    assert seen == []


def test_a_route_is_documented_with_the_parameters_that_it_takes() -> None:
    document = client().get("/openapi.json").json()
    assert [each["name"] for each in document["paths"]["/threaded/{number}"]["get"]["parameters"]] == ["number"]
