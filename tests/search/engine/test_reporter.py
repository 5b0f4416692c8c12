"""What a recipe reports reaches the driver once, in messages of bounded size, and only while its trial runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from search.engine import reporter
from search.engine.failures import TimeLimit
from search.engine.figures import InvalidFigure
from search.engine.reporter import Reporter


@pytest.fixture
def messages() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Let time pass only while somebody sleeps."""
    slept: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: sum(slept))
        patch.setattr(time, "sleep", slept.append)
        yield slept


def test_figures_travel_together_and_each_once(messages: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    report = Reporter(messages.append, {"host": "here"})
    report(epoch=1, train_loss=0.5)
    report(epoch=2, train_loss=0.4)
    assert messages == []
    monkeypatch.setattr(reporter, "REPORT_SECONDS", 0.0)
    report(epoch=3, train_loss=0.3)
    report.end({"value": 1.0})
    assert [(message["where"], sorted(message["epochs"]), message["outcome"]) for message in messages] == [
        ({"host": "here"}, [1, 2, 3], None),
        (None, [], {"value": 1.0}),
    ]


def test_who_reports_faster_than_the_driver_stores_waits_and_loses_nothing(
    messages: list[dict[str, Any]], slept: list[float]
) -> None:
    report = Reporter(messages.append, {})
    for epoch in range(1, 10_001):
        report(epoch=epoch, train_loss=1 / epoch)
    report.end({})
    assert max(len(message["epochs"]) for message in messages) == reporter.MESSAGE_EPOCHS
    assert sum(slept) == pytest.approx(10_000 / reporter.MESSAGE_EPOCHS * reporter.REPORT_SECONDS)
    figures = {epoch: figures for message in messages for epoch, figures in message["epochs"].items()}
    assert figures == {epoch: {"train_loss": 1 / epoch} for epoch in range(1, 10_001)}


def test_the_first_report_of_an_epoch_stands(messages: list[dict[str, Any]]) -> None:
    report = Reporter(messages.append, {})
    report(epoch=1, train_loss=0.5)
    report(epoch=1, train_loss=0.4)
    report.end({})
    assert messages[-1]["epochs"] == {1: {"train_loss": 0.5}}


def test_the_first_refusal_is_kept(messages: list[dict[str, Any]]) -> None:
    report = Reporter(messages.append, {})
    for epoch in ("first", "second"):
        with suppress(InvalidFigure):
            report(epoch=epoch)
    report(epoch=1, train_loss=0.5)
    assert "got 'first'" in str(report.refused)


def test_who_was_told_to_stop_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune raises once; the next message would wait for an answer that never comes."""

    def send(message: dict[str, Any]) -> None:
        sent.append(message)
        raise SystemExit(0)

    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(reporter, "REPORT_SECONDS", 0.0)
    report = Reporter(send, {})
    for epoch in range(3):
        with pytest.raises(SystemExit):
            report(epoch=epoch)
    assert len(sent) == 1
    assert isinstance(report.stopped, SystemExit)


def test_a_thread_that_outlives_its_trial_reports_nothing_to_the_next(
    messages: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "REPORT_SECONDS", 0.0)
    report, begun = Reporter(messages.append, {}), threading.Event()

    def go_on() -> None:
        begun.wait()
        with suppress(SystemExit):  # which ends a thread without a word, but for pytest
            report(epoch=2, train_loss=0.4)

    thread = threading.Thread(target=go_on)
    thread.start()
    report.end({"value": 1.0})
    begun.set()
    thread.join(10)
    assert not thread.is_alive()
    assert [message["outcome"] for message in messages] == [{"value": 1.0}]


def test_who_waits_asks_at_most_once_a_second(messages: list[dict[str, Any]], slept: list[float]) -> None:
    report = Reporter(messages.append, {"host": "here"})
    for _ in range(40):
        time.sleep(0.25)
        report.poll()
    assert [message["outcome"] for message in messages] == [None] * 10
    assert (messages[0]["where"], messages[0]["epochs"]) == ({"host": "here"}, {})


def test_who_waits_is_told_to_stop(slept: list[float]) -> None:
    def send(message: dict[str, Any]) -> None:
        raise SystemExit(0)

    report = Reporter(send, {})
    time.sleep(1)
    for _ in range(2):
        with pytest.raises(SystemExit):
            report.poll()
    assert isinstance(report.stopped, SystemExit)


def test_who_waits_longer_than_the_trial_may_take_is_told_so(
    messages: list[dict[str, Any]], slept: list[float]
) -> None:
    report = Reporter(messages.append, {}, timeout=1.5)
    time.sleep(1)
    report.poll()
    time.sleep(1)
    with pytest.raises(TimeLimit, match=r"^no end after 1\.5 s; the log shows where it was$"):
        report.poll()
