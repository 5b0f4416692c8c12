"""Recovers searches whose driver is gone, at the start of the service and once a lease length.

Workers do so too; without one, nobody else would end the trials of a search that was cancelled.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.concurrency import run_in_threadpool

from search.settings import Settings
from search.store import recovery
from search.store.faults import own_sentence
from service.database import Database

log = logging.getLogger(__name__)


async def recover_regularly(settings: Settings, database: Database) -> None:
    """Recover searches until cancelled."""
    thorough = True
    while True:
        try:
            await run_in_threadpool(recovery.recover, settings.database_url, database.write_engine, thorough=thorough)
            thorough = False
        except Exception as error:  # the next round may succeed
            log.warning("searches without a driver could not be recovered: %s", own_sentence(error))
        await asyncio.sleep(settings.lease_seconds)
