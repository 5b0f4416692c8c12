"""Formats metrics, durations and foreign text, for the terminal and the browser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

SMALLEST_FIXED = 0.00095  # figures below it would have less than two digits of four decimals
_CONTROLS = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]|[\u2028-\u202e\u2066-\u2069]")  # and what turns the direction


def format_figure(value: float) -> str:
    """Format a metric, or a difference of metrics: four decimals, two digits if it is too small for these."""
    return f"{value:.2g}" if 0 < abs(value) < SMALLEST_FIXED else f"{value:.4f}"


def format_metric(value: float | None) -> str:
    """Format a metric; a dash for None."""
    return "–" if value is None else format_figure(value)


class HasMean(Protocol):
    """Anything with a mean over replicates: a candidate, or a search with a chosen point."""

    @property
    def mean(self) -> float | None:
        """Of the metric over finished replicates."""

    @property
    def std(self) -> float | None:
        """With n − 1 in the denominator; None at n = 1."""

    @property
    def sem(self) -> float | None:
        """Standard error of the mean; None at n = 1."""

    @property
    def n(self) -> int:
        """Finished replicates."""

    @property
    def failed(self) -> int:
        """Replicates that failed."""


def format_mean_std(measured: HasMean) -> str:
    """Format as ``0.9571 ± 0.0020``, the standard deviation; a dash if nothing was measured."""
    spread = f" ± {format_figure(measured.std)}" if measured.std is not None else ""
    return format_metric(measured.mean) + spread


def format_mean(measured: HasMean) -> str:
    """Format as ``0.9571 (n=3, standard error 0.0012, 1 failed)``, for places without columns."""
    parts = [f"n={measured.n}"]
    if measured.sem is not None:
        parts.append(f"standard error {format_figure(measured.sem)}")
    if measured.failed:
        parts.append(f"{measured.failed} failed")
    return f"{format_metric(measured.mean)} ({', '.join(parts)})"


class HasEpochs(Protocol):
    """How far some running trials are."""

    @property
    def low(self) -> int:
        """Epochs finished by the slowest one."""

    @property
    def high(self) -> int:
        """Epochs finished by the fastest one."""

    @property
    def planned(self) -> int | None:
        """Epochs of a trial; None if unknown."""


def format_epochs(running: HasEpochs) -> str:
    """Format as ``epoch 7/30``; as ``epoch 3–7/30`` if some trials are further than others."""
    reached = f"{running.low}–{running.high}" if running.low < running.high else str(running.high)
    return f"epoch {reached}" + (f"/{running.planned}" if running.planned is not None else "")


def format_numbers(numbers: Mapping[str, object]) -> str:
    """Format numbers of a recipe as ``epochs=250, flip=true``."""
    written = {name: str(value).lower() if isinstance(value, bool) else value for name, value in numbers.items()}
    return ", ".join(f"{name}={value}" for name, value in written.items())


class HasUnitAndLimits(Protocol):
    """A number of a recipe."""

    @property
    def unit(self) -> str:
        """What it counts or measures."""

    @property
    def at_least(self) -> float | None:
        """Its smallest value; None for no limit."""

    @property
    def at_most(self) -> float | None:
        """Its largest value; None for no limit."""


def format_unit(number: HasUnitAndLimits) -> str:
    """Format as ``per step, from 0 to 1``; without the limits of a number that has but one value."""
    low, high = number.at_least, number.at_most
    if low is None or high is None:
        limits = "" if low is high else f"at most {high}" if low is None else f"at least {low}"
    else:
        limits = "" if low == high else f"from {low} to {high}"
    return ", ".join(filter(None, (number.unit, limits)))


def format_trials(count: int) -> str:
    """Format as ``1 trial`` or ``3 trials``."""
    return f"{count} trial" if count == 1 else f"{count} trials"


def format_duration(seconds: float | None) -> str:
    """Format a duration as ``4.2 s``, ``45 s``, ``3 min`` or ``2 h 5 min``; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def show_controls(text: str) -> str:
    r"""Write control characters, all but newlines and tabs, as ``\x1b``: a terminal would obey them."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)
