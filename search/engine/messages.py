"""Reads the messages of trials' processes in the driver."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a trial's process sent."""

    where: dict[str, Any] | None = None  #: host, pid, node, GPUs; in the first message
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)  #: metrics by epoch
    outcome: Outcome | None = None  #: in the last message


def parse_message(text: Any) -> Message:
    """Parse a message; one that is malformed makes its trial fail, not the driver."""
    try:
        sent = json.loads(text)
        return Message(
            where=None if sent["where"] is None else dict(sent["where"]),
            epochs={
                int(epoch): {name: float(value) for name, value in figures.items()}
                for epoch, figures in sent["epochs"].items()
            },
            outcome=None if sent["outcome"] is None else Outcome.from_json(sent["outcome"]),
        )
    except Exception as error:
        detail = f"its process sent a malformed message: {type(error).__name__}: {error}"
        return Message(outcome=Outcome(cause=Cause.RAISED, detail=detail))
