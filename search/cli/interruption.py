"""Handles Ctrl-C and other signals: of commands that run one search, and of processes that serve until a signal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Never, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Handler:
    """Context manager that handles signals. SIGHUP stays ignored if it is: nohup has that done."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        handled = [each for each in SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._receive) for number in handled}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError


class Interruption(_Handler):
    """Context manager: the first signal is recorded for :meth:`check`; the second raises KeyboardInterrupt at once.

    Args:
        at_once: raise at the first signal too; for long waits that leave nothing half done.
    """

    def __init__(self, at_once: bool = False) -> None:
        super().__init__()
        self.signal: int | None = None  #: the first one received
        self._at_once = at_once

    def _receive(self, number: int, frame: FrameType | None) -> None:
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


class StopSignals(_Handler):
    """Context manager of a process that serves: a first signal asks for an orderly end, a second for a quick one."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 0
        self.on_receive: Callable[[], object] = _interrupt  #: called at each signal, between two steps of any code

    def _receive(self, number: int, frame: FrameType | None) -> None:
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
