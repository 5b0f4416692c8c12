"""Records when tokens were last used, apart from the requests that use them, which would wait for other writers."""

from __future__ import annotations

import asyncio
import threading

from starlette.concurrency import run_in_threadpool

from search.store.database import DatabaseError
from search.vocabulary.errors import StoreUnavailable
from service import accounts
from service.database import Database

STORE_SECONDS = 1.0


class TokenUses:
    """Collects uses of tokens, and stores those that are due once a second; uses that cannot be stored wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._due: dict[str, accounts.Token] = {}

    def add(self, token: accounts.Token) -> None:
        """Note that a token is used now. Writes nothing, and nothing is noted that was stored within a minute."""
        if token.touch_due:
            with self._lock:
                self._due[token.id] = token

    async def store_regularly(self) -> None:
        """Store uses until cancelled."""
        while True:
            await asyncio.sleep(STORE_SECONDS)
            if self._due:
                await run_in_threadpool(self.store)

    def store(self) -> None:
        """Store the uses that were added, in one transaction, unless another writer is busy."""
        with self._lock:
            due, self._due = self._due, {}
        if not due:
            return
        try:
            with self._database.write(wait_seconds=0.0) as connection:
                for token in due.values():
                    accounts.touch(connection, token)
        except (DatabaseError, StoreUnavailable):
            with self._lock:
                self._due = due | self._due
