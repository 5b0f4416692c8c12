"""Handles Ctrl-C and other signals: of commands that run one search, and of processes that serve until a signal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Never

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Context manager: the first signal is recorded for :meth:`check`; the second raises KeyboardInterrupt at once.

    Args:
        at_once: raise at the first signal too; for long waits that leave nothing half done.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.signal: int | None = None  #: the first one received
        self._at_once = at_once
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        self._before = _handle_signals(self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        again, self.signal = self.signal is not None, self.signal or number
        if again or self._at_once:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal was received."""
        if self.signal is not None:
            raise KeyboardInterrupt

    @property
    def exit_code(self) -> int:
        """The exit code that shells expect after a signal; 130 for Ctrl-C."""
        return 128 + (self.signal or signal.SIGINT)


class StopSignals:
    """Context manager of a process that serves: a first signal asks for an orderly end, a second for a quick one."""

    def __init__(self) -> None:
        self.received = 0
        self.on_receive: Callable[[], object] = _interrupt  #: called at each signal, between two steps of any code
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = _handle_signals(self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, _: int, __: FrameType | None) -> None:
        self.received += 1
        self.on_receive()

    def only_count(self) -> None:
        """From now on interrupt nothing, as something runs that must be stopped first."""
        self.on_receive = lambda: None

    @property
    def hurry(self) -> bool:
        """Whether a second signal was received."""
        return self.received > 1


def _interrupt() -> Never:
    raise KeyboardInterrupt


def _handle_signals(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Install a handler; return those before it. SIGHUP stays ignored if it is: nohup has that done."""
    handled = [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in handled}
