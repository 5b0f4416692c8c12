"""Ctrl-C and its kin, noticed between two steps."""

from __future__ import annotations

import os
import signal

import pytest

from search.cli.interruption import SIGNALS, Interruption


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_first_signal_is_noticed_when_it_is_asked_for(number: signal.Signals, code: int) -> None:
    with Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert interruption.exit_code == code


def test_a_second_signal_interrupts_at_once_and_the_first_one_counts() -> None:
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert interruption.exit_code == 128 + signal.SIGTERM


def test_what_leaves_nothing_half_done_is_interrupted_at_once() -> None:
    with Interruption(at_once=True) as interruption, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert interruption.exit_code == 130


def test_afterwards_signals_go_where_they_went_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interruption():
        assert before != [signal.getsignal(number) for number in SIGNALS]
    assert before == [signal.getsignal(number) for number in SIGNALS]
