"""Handles Ctrl-C and other signals between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

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
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
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
