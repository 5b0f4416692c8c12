"""Routes that take a connection, use it and give it back in one visit to a thread.

FastAPI visits a thread for every dependency; under load each visit waits for a thread and for the interpreter. So what
needs the database is only noted while dependencies are resolved, and made in the route's thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import wraps
from typing import Any, Generic, TypeVar, cast

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

Value = TypeVar("Value")


class Later(Generic[Value]):
    """A parameter that is made in the thread of the route that takes it, once."""

    def __init__(self, make: Callable[[ExitStack], Value]) -> None:
        self._make: Callable[[ExitStack], Value] | None = make
        self._value: Value | None = None

    def get(self, stack: ExitStack) -> Value:
        """Return the value; what it holds is given back when the stack closes."""
        if self._make is not None:
            self._value, self._make = self._make(stack), None
        return cast(Value, self._value)


class OneVisitRoute(APIRoute):
    """A route whose parameters may be :class:`Later`. If it is a coroutine, it gets them after they are closed."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _make_parameters_first(endpoint), **options)


def _make_parameters_first(endpoint: Callable[..., object]) -> Callable[..., object]:
    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def run_coroutine(**parameters: object) -> object:
            result: object = await endpoint(**await run_in_threadpool(_make_and_close, parameters))
            return result

        return run_coroutine

    @wraps(endpoint)
    def run(**parameters: object) -> object:
        with ExitStack() as stack:
            return endpoint(**_make(parameters, stack))

    return run


def _make(parameters: Mapping[str, object], stack: ExitStack) -> dict[str, object]:
    return {name: value.get(stack) if isinstance(value, Later) else value for name, value in parameters.items()}


def _make_and_close(parameters: Mapping[str, object]) -> dict[str, object]:
    with ExitStack() as stack:
        return _make(parameters, stack)
