"""Figures and durations as people read them, on the terminal and in the browser alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mean_std(candidate: Mapping[str, Any]) -> str:
    """Write ``0.9571 ± 0.0020``; a dash where nothing was measured."""
    spread = f" ± {candidate['std']:.4f}" if candidate["std"] is not None else ""
    return metric(candidate["mean"]) + spread


def metric(value: float | None) -> str:
    """Write a metric with four decimals; a dash for None."""
    return "–" if value is None else f"{value:.4f}"


def duration(seconds: float | None) -> str:
    """Say a duration as people do: ``4.2 s``, ``45 s``, ``3 min``, ``2 h 5 min``; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
