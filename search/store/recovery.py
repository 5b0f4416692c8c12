"""Ends what drivers that are gone have left: RUNNING trials, and searches that nobody runs.

Every worker and service calls :func:`recover` at its start and once a lease length. Commands that only read never do.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from sqlalchemy import Engine, String, cast, null, or_, select
from sqlalchemy.exc import DBAPIError

from search.plan.lifecycle import Event
from search.store import leases, transitions
from search.store.attempts import list_running
from search.store.database import Url
from search.store.faults import find_fault, own_sentence
from search.store.tables import searches, studies, trials
from search.vocabulary.errors import Fenced
from search.vocabulary.states import Status, TrialState

log = logging.getLogger(__name__)

CLEANUP_SECONDS = 30.0  # for the trials of one search; should this process die, the next one cleans up after it
WAIT_SECONDS = 4.0  # for other writers, as requests of the web service wait for it
DRIVER_LOST = "its driver was lost"


def recover(url: Url, engine: Engine, *, thorough: bool = False) -> list[str]:
    """Recover every search whose driver is gone; return their ids. One that fails now is left to the next round.

    Args:
        url: of the database.
        engine: a writing one for it.
        thorough: look for RUNNING trials under every search, as versions before 0.2 left some; slow if there are many.
    """
    left = _left_by_drivers(engine) | (_with_running_trials(engine) if thorough else set())
    return [search_id for search_id in sorted(left) if try_recover(url, engine, search_id)]


def try_recover(url: Url, engine: Engine, search_id: str) -> bool:
    """Recover a search, and leave it to the next round if the database does not answer; return whether it was done."""
    try:
        return recover_search(url, engine, search_id)
    except Exception as error:
        if find_fault(error) is None:
            raise
        log.warning("%s could not be recovered: %s", search_id, own_sentence(error), extra={"search": search_id})
        return False


def recover_search(
    url: Url, engine: Engine, search_id: str, event: Event = Event.LOSE, reason: str = DRIVER_LOST
) -> bool:
    """Recover a search that a driver has left and none holds; return whether that was the case.

    Its epoch is raised and its RUNNING trials end as lost. If its status is running, ``event`` decides what becomes of
    it: LOSE, ABANDON (of a queued one too) or INTERRUPT. A request that its driver did not carry out is carried out.
    """
    with engine.begin() as connection:
        row = transitions.lock(connection, search_id)
        changes = row.status == Status.RUNNING or (row.status == Status.QUEUED and event == Event.ABANDON)
        left = row.holder is not None or changes or list_running(connection, search_id)
        if transitions.is_held(row) or not left:
            return False
        fenced = changes and transitions.apply(connection, search_id, event, reason).fences
        if not fenced:
            transitions.fence_out(connection, row)
        lease = leases.hold(connection, search_id, CLEANUP_SECONDS)
    from search.store.trials import TrialStore  # imports Optuna, which few calls need

    store = TrialStore(url, lease, "max", wait_seconds=WAIT_SECONDS)
    try:
        store.end_running(search_id, DRIVER_LOST)
    except Fenced:  # it took so long that another process has taken over
        return False
    except BaseException:
        with suppress(DBAPIError), engine.begin() as connection:
            leases.expire(connection, lease)  # the next round goes on
        raise
    finally:
        store.close()
    with engine.begin() as connection:
        leases.release(connection, lease)
    return True


def interrupt(url: Url, engine: Engine, search_id: str, epoch: int | None) -> None:
    """Pause a search whose command was interrupted, if its driver could not do so: killed, or not started yet.

    Args:
        url: of the database.
        engine: a writing one for it.
        search_id: of the search.
        epoch: of the search when its last driver had ended, or before the first. If it is higher, somebody has run it
            since, and it stays queued.
    """
    recover_search(url, engine, search_id, Event.INTERRUPT, "interrupted")
    with engine.begin() as connection:
        row = transitions.lock(connection, search_id)
        if row.status == Status.QUEUED and row.epoch == epoch:
            transitions.apply(connection, search_id, Event.INTERRUPT, "interrupted")


def _left_by_drivers(engine: Engine) -> set[str]:
    """Return the searches whose holder is gone: a holder stays stored until its trials have ended."""
    left = or_(searches.c.holder.is_not(null()), searches.c.status == Status.RUNNING)
    with engine.connect() as connection:
        rows = connection.execute(transitions.DECISIVE.where(left)).all()
    return {row.id for row in rows if not transitions.is_held(row)}


def _with_running_trials(engine: Engine) -> set[str]:
    running = (
        select(studies.c.study_name)
        .join(trials, trials.c.study_id == studies.c.study_id)
        .where(cast(trials.c.state, String) == TrialState.RUNNING)
        .distinct()
    )
    with engine.connect() as connection:
        found = {name.partition("/")[0] for name in connection.execute(running).scalars()}
        ours = select(searches.c.id).where(searches.c.id.in_(found))  # others may keep studies in the same database
        return set(connection.execute(ours).scalars())
