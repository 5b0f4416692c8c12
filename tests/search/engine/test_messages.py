"""A message that makes no sense ends the trial that sent it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from search.engine.messages import Message, parse_message
from search.vocabulary.outcome import Outcome

SENT = {"where": None, "epochs": {}, "outcome": None}


def test_a_message_is_read_as_it_was_sent() -> None:
    outcome = {"value": 0.5, "cause": None, "detail": "", "samples": 2000}
    sent = {"where": {"host": "a"}, "epochs": {1: {"train_loss": float("inf")}}, "outcome": outcome}
    assert parse_message(json.dumps(sent)) == Message(
        where={"host": "a"}, epochs={1: {"train_loss": float("inf")}}, outcome=Outcome(value=0.5, samples=2000)
    )
    assert parse_message(json.dumps(SENT)) == Message()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 100_000,
        "null",
        None,
        "{}",
        *(
            json.dumps(SENT | changed)
            for changed in (
                {"where": 1},
                {"epochs": []},
                {"epochs": {"one": {}}},
                {"epochs": {1: None}},
                {"epochs": {1: {"loss": "x"}}},
                {"epochs": {1: {"loss": 10**400}}},
                {"outcome": {"value": "x", "cause": None, "detail": ""}},
                {"outcome": {"value": 0.5, "cause": None, "detail": "", "samples": "many"}},
                {"outcome": {"value": None, "cause": "bored", "detail": ""}},
                {"outcome": {}},
            )
        ),
    ],
)
def test_a_malformed_message_is_a_failure_of_its_trial(text: Any) -> None:
    message = parse_message(text)
    assert (message.where, message.epochs) == (None, {})
    assert message.outcome is not None
    assert message.outcome.cause == "raised"
    assert message.outcome.detail.startswith("its process sent a malformed message: ")
