"""Responses that stay open for long: how many a token and all together may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from search.vocabulary.errors import Busy


class OpenResponses:
    """Counts the open responses of a kind by token. Lives on the server's event loop."""

    def __init__(self, kind: str, of_token: int, of_all: int) -> None:
        self._kind = kind
        self._of_token = of_token
        self._of_all = of_all
        self._open: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """The number of open responses."""
        return self._open.total()

    @contextmanager
    def open(self, token_id: str) -> Iterator[None]:
        """Count a response while it is open.

        Raises:
            Busy: if too many are open.
        """
        for whose, limit, count in (
            ("a token", self._of_token, self._open[token_id]),
            ("a service", self._of_all, self.count),
        ):
            if count >= limit:
                raise Busy(
                    f"{whose} has at most {limit} {self._kind} open at once: got one more. "
                    "Close some, or try again later."
                )
        self._open[token_id] += 1
        try:
            yield
        finally:
            self._open[token_id] -= 1
            self._open += Counter()  # drops the tokens that have none


class CountedResponse(StreamingResponse):
    """A response that is sent only while there is room for it."""

    def __init__(
        self,
        content: AsyncIterator[str] | Iterator[bytes],
        open_responses: OpenResponses,
        token_id: str,
        status_code: int = 200,  # FastAPI documents this default
        headers: dict[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, media_type)
        self._open_responses = open_responses
        self._token_id = token_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send for as long as the client stays."""
        with self._open_responses.open(self._token_id):
            await super().__call__(scope, receive, send)
