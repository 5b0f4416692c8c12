"""How the status of a search changes: a pure state machine over its status, the pending request, and an event.

The last request of a person wins. While a driver holds the lease, a request is stored, and the driver carries it out;
whoever ends, leaves or takes over the search reads it in the same transaction. While nobody holds the lease, a request
takes effect at once, and fences a driver that is only frozen. The store applies every change: see
:func:`search.store.transitions.apply`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from search.vocabulary.states import ACTIVE, Status


class Event(Enum):
    """What happens to a search."""

    # requested by a person
    PAUSE = "paused"
    CANCEL = "cancelled"
    RESUME = "resumed"
    RETRY = "retried"
    ARCHIVE = "archived"
    # done by a driver that holds the lease, except CLAIM, with which it gets the lease
    CLAIM = "run"
    FINISH = "finished"
    FAIL = "failed"
    GIVE_UP = "given up"  #: it pauses the search, and a person has to act
    INTERRUPT = "interrupted"  #: Ctrl-C in the terminal of a command that runs the search
    LEAVE = "left"  #: a request, SIGTERM, or the loss of its worker or its Ray node
    # done by others once nobody holds the lease
    LOSE = "lost"  #: the driver died or is frozen
    ABANDON = "abandoned"  #: drivers keep dying


@dataclass(frozen=True, kw_only=True)
class State:
    """What decides the effect of an event."""

    status: Status
    requested: Status | None = None  #: PAUSED or CANCELLED until it is carried out
    held: bool = False  #: whether a driver holds a live lease


@dataclass(frozen=True, kw_only=True)
class Change:
    """The effect of an event."""

    status: Status
    requested: Status | None = None
    fences: bool = False  #: the epoch is raised and RUNNING trials end: whoever drove the search drives it no more


class NotAllowed(Exception):
    """The event is impossible in this state; the message is the rule."""


IF_NOTHING_IS_REQUESTED: Mapping[Event, Status] = {
    Event.FINISH: Status.DONE,
    Event.FAIL: Status.FAILED,
    Event.GIVE_UP: Status.PAUSED,
    Event.INTERRUPT: Status.PAUSED,
    Event.LEAVE: Status.QUEUED,
    Event.LOSE: Status.QUEUED,
    Event.ABANDON: Status.FAILED,
}
RESUMABLE = (Status.PAUSED, Status.FAILED)
RETRIABLE = (Status.PAUSED, Status.FAILED, Status.DONE)


def change(state: State, event: Event) -> Change:
    """Return what an event changes.

    Raises:
        NotAllowed: if it is impossible.
    """
    match event:
        case Event.PAUSE | Event.CANCEL:
            return _request(state, event)
        case Event.RESUME:
            return _resume(state)
        case Event.RETRY:
            _require(state.status in RETRIABLE, "only a paused, failed or done search can be retried")
            return Change(status=Status.QUEUED)
        case Event.ARCHIVE:
            _require(state.status not in ACTIVE, "a search must not be queued or running to be archived")
            return _keep(state)
        case Event.CLAIM:
            return _claim(state)
        case Event.LOSE | Event.ABANDON:
            losable = (Status.RUNNING,) if event == Event.LOSE else ACTIVE
            _require(state.status in losable and not state.held, "only a search without a live driver is lost")
            return Change(status=state.requested or IF_NOTHING_IS_REQUESTED[event], fences=True)
        case Event.INTERRUPT if state.status == Status.QUEUED:
            return Change(status=Status.PAUSED)
        case _:
            _require(state.status == Status.RUNNING, "only a running search is left by its driver")
            return Change(status=state.requested or IF_NOTHING_IS_REQUESTED[event])


def _request(state: State, event: Event) -> Change:
    wanted = Status(event.value)
    if state.status in (wanted, Status.CANCELLED):
        return _keep(state)
    _require(not state.status.ended, f"only an unfinished search can be {wanted}")
    if state.status == Status.RUNNING and state.held:
        return Change(status=Status.RUNNING, requested=wanted)
    return Change(status=wanted, fences=state.status == Status.RUNNING)


def _resume(state: State) -> Change:
    """Queue a paused or failed search; withdraw a request that is not carried out yet.

    A search may have failed for what has been fixed since: no GPU, no data, a node that was down.
    """
    _require(state.status not in (Status.DONE, Status.CANCELLED), "only an unfinished or failed search can be resumed")
    return Change(status=Status.QUEUED if state.status in RESUMABLE else state.status)


def _claim(state: State) -> Change:
    """Take a search whose turn it is. A request that the last driver did not carry out is carried out now."""
    _require(state.status in ACTIVE, "only a queued or running search can be run")
    _require(not state.held, "a search has one driver")
    return Change(status=state.requested or Status.RUNNING, fences=True)


def _keep(state: State) -> Change:
    return Change(status=state.status, requested=state.requested)


def _require(condition: bool, rule: str) -> None:
    if not condition:
        raise NotAllowed(rule)
