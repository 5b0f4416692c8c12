"""Those who guess wait; those who know do not."""

from __future__ import annotations

import pytest

from service.accounts import guesses as module
from service.accounts.guesses import Guesses


def test_a_source_that_guesses_wrong_waits_and_others_do_not() -> None:
    clock = [0.0]
    guesses = Guesses(2, lambda: clock[0])
    for guess in ("a", "b"):
        assert guesses.seconds_to_wait("here", guess) == 0
        guesses.record("here", guess, right=False)
    assert guesses.seconds_to_wait("here", "c") == pytest.approx(30)
    assert guesses.seconds_to_wait("there", "c") == 0
    clock[0] = 30.0
    assert guesses.seconds_to_wait("here", "c") == 0


def test_looking_costs_nothing_and_neither_does_what_is_right() -> None:
    guesses = Guesses(1)
    for _ in range(5):
        assert guesses.seconds_to_wait("here", "right") == 0
        guesses.record("here", "right", right=True)
    guesses.record("here", "wrong", right=False)
    assert guesses.seconds_to_wait("here", "other") > 0


def test_what_was_right_before_passes_until_it_is_wrong() -> None:
    guesses = Guesses(1)
    guesses.record("here", "right", right=True)
    guesses.record("here", "wrong", right=False)
    assert guesses.seconds_to_wait("here", "right") == 0
    guesses.record("here", "right", right=False)  # it was revoked
    assert guesses.seconds_to_wait("here", "right") > 0


def test_a_wrong_credential_that_is_sent_again_is_no_new_guess_for_a_minute() -> None:
    clock = [0.0]
    guesses = Guesses(2, lambda: clock[0])
    for _ in range(50):
        guesses.record("here", "revoked", right=False)
    assert guesses.was_right("revoked") is False
    assert guesses.seconds_to_wait("here", "other") == 0
    clock[0] = 61.0
    assert guesses.was_right("revoked") is None, "its database may have been restored meanwhile"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 2)
    guesses = Guesses(1)
    for token in ("one", "two", "three", "two"):
        guesses.record("here", token, right=True)
    assert [guesses.was_right(token) for token in ("one", "two", "three")] == [None, True, True]
