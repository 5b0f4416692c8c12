"""What a person requested last wins, in every order of events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.plan.lifecycle import Change, Event, NotAllowed, State, change
from search.vocabulary.states import Status

REQUESTS = (Event.PAUSE, Event.CANCEL, Event.RESUME)
ENDINGS = (Event.FINISH, Event.FAIL, Event.GIVE_UP, Event.INTERRUPT, Event.LEAVE)
STATES = [
    State(status=status, requested=requested, held=held)
    for status in Status
    for requested in (None, Status.PAUSED, Status.CANCELLED)
    for held in (False, True)
    if status == Status.RUNNING or not (requested or held)
]
QUEUED = State(status=Status.QUEUED)
FINAL = (Status.DONE, Status.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A search, and its drivers: the live one, and those that are frozen and wake up later."""

    state: State = QUEUED
    epoch: int = 0
    drivers: tuple[int, ...] = ()  # epochs of drivers that exist


def apply(model: Model, event: Event, driver: int | None = None) -> Model:
    """Apply an event as the store does: a driver's write with an older epoch is refused."""
    if driver is not None and driver != model.epoch:
        return replace(model, drivers=tuple(each for each in model.drivers if each != driver))
    try:
        effect = change(model.state, event)
    except NotAllowed:
        return model
    epoch = model.epoch + effect.fences
    held = model.state.held and effect.status == Status.RUNNING
    drivers = model.drivers
    if event == Event.CLAIM and effect.status == Status.RUNNING:
        held, drivers = True, (*drivers, epoch)
    if driver is not None:
        drivers = tuple(each for each in drivers if each != driver)
    state = State(status=effect.status, requested=effect.requested, held=held)
    return replace(model, state=state, epoch=epoch, drivers=drivers)


def failed(model: Model) -> bool:
    return model.state.status == Status.FAILED


STEPS = st.lists(
    st.one_of(
        st.sampled_from([*REQUESTS, Event.CLAIM, Event.LOSE, Event.ABANDON]),
        st.tuples(st.integers(0, 3), st.sampled_from(ENDINGS)),
        st.sampled_from(["lapse"]),
    ),
    max_size=30,
)


@settings(max_examples=600, deadline=None)
@given(STEPS)
def test_the_last_acknowledged_request_holds_in_every_order_of_events(steps: list[object]) -> None:
    model, requested = Model(), None
    for step in steps:
        before = model
        if step == "lapse":
            model = replace(model, state=replace(model.state, held=False))
        elif isinstance(step, tuple):
            number, event = step
            if number < len(model.drivers):
                model = apply(model, event, model.drivers[number])
        elif isinstance(step, Event):
            model = apply(model, step)
            if step in REQUESTS and before.state.status not in FINAL and (step == Event.RESUME or not failed(before)):
                requested = step
        _check(before, model, requested)


def _check(before: Model, model: Model, requested: Event | None) -> None:
    now = model.state
    assert model.epoch >= before.epoch
    if before.state.status in FINAL:
        assert now.status == before.state.status, "a done or cancelled search stays what it is"
    if failed(before):
        assert now.status == before.state.status or (requested == Event.RESUME and now.status == Status.QUEUED)
    if requested == Event.CANCEL:
        assert now.status.ended or (now.status == Status.RUNNING and now.requested == Status.CANCELLED)
    if requested == Event.PAUSE:
        paused = now.status == Status.PAUSED or (now.status == Status.RUNNING and now.requested == Status.PAUSED)
        assert paused or (now.status.ended and before.state.status.ended)
    if requested == Event.RESUME:
        assert now.requested is None, "nothing that was withdrawn is carried out"
    if now.status != Status.RUNNING:
        assert now.requested is None
        live = [driver for driver in model.drivers if driver == model.epoch]
        assert not live or before.state.status == now.status or before.drivers != model.drivers


@pytest.mark.parametrize("state", [each for each in STATES if each.status == Status.RUNNING and not each.held])
@pytest.mark.parametrize("event", [Event.PAUSE, Event.CANCEL, Event.LOSE, Event.ABANDON, Event.CLAIM])
def test_whoever_acts_while_nobody_holds_a_running_search_fences_its_driver(state: State, event: Event) -> None:
    if change(state, event).status != state.status or event == Event.CLAIM:
        assert change(state, event).fences


@pytest.mark.parametrize("requested", [Status.PAUSED, Status.CANCELLED])
@pytest.mark.parametrize("event", ENDINGS)
def test_a_driver_that_ends_carries_out_what_was_requested(event: Event, requested: Status) -> None:
    state = State(status=Status.RUNNING, requested=requested, held=True)
    assert change(state, event) == Change(status=requested)


def test_a_driver_that_ends_without_a_request_leaves_what_its_end_means() -> None:
    state = State(status=Status.RUNNING, held=True)
    left = [change(state, event).status for event in ENDINGS]
    assert left == [Status.DONE, Status.FAILED, Status.PAUSED, Status.PAUSED, Status.QUEUED]


def test_resuming_withdraws_a_pause_that_is_not_carried_out_and_the_driver_leaves_it_queued() -> None:
    paused = State(status=Status.RUNNING, requested=Status.PAUSED, held=True)
    resumed = change(paused, Event.RESUME)
    assert resumed == Change(status=Status.RUNNING)
    assert change(State(status=resumed.status, held=True), Event.LEAVE).status == Status.QUEUED


@pytest.mark.parametrize("status", [Status.PAUSED, Status.FAILED])
def test_what_a_search_stopped_for_may_be_fixed_so_it_is_resumed(status: Status) -> None:
    assert change(State(status=status), Event.RESUME) == Change(status=Status.QUEUED)


@pytest.mark.parametrize(
    ("event", "status", "rule"),
    [
        (Event.PAUSE, Status.DONE, "only an unfinished search can be paused"),
        (Event.CANCEL, Status.FAILED, "only an unfinished search can be cancelled"),
        (Event.RESUME, Status.CANCELLED, "only an unfinished or failed search can be resumed"),
        (Event.RESUME, Status.DONE, "only an unfinished or failed search can be resumed"),
        (Event.RETRY, Status.QUEUED, "only a paused, failed or done search can be retried"),
        (Event.RETRY, Status.CANCELLED, "only a paused, failed or done search can be retried"),
        (Event.ARCHIVE, Status.RUNNING, "a search must not be queued or running to be archived"),
        (Event.CLAIM, Status.PAUSED, "only a queued or running search can be run"),
        (Event.FINISH, Status.CANCELLED, "only a running search is left by its driver"),
        (Event.LOSE, Status.QUEUED, "only a search without a live driver is lost"),
    ],
)
def test_what_is_impossible_is_refused_with_its_rule(event: Event, status: Status, rule: str) -> None:
    with pytest.raises(NotAllowed, match=f"^{rule}$"):
        change(State(status=status), event)


def test_a_held_search_is_neither_claimed_nor_lost() -> None:
    held = State(status=Status.RUNNING, held=True)
    for event in (Event.CLAIM, Event.LOSE, Event.ABANDON):
        with pytest.raises(NotAllowed):
            change(held, event)
