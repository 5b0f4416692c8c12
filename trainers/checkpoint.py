"""A trial's checkpoint: written atomically, with the previous one kept, loaded with ``weights_only``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

CURRENT, PREVIOUS = "checkpoint.pt", "previous.pt"


class Checkpoint:
    """The checkpoint in a folder; without a folder nothing is saved."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by ``state``: tensors, numbers, text, and lists and dicts of them."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._folder / f"writing-{os.getpid()}.pt"
        with written.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        current = self._folder / CURRENT
        if current.exists():
            current.replace(self._folder / PREVIOUS)
        written.replace(current)

    def load(self) -> dict[str, Any] | None:
        """Return the newest readable state, or None. A damaged file is skipped."""
        for name in (CURRENT, PREVIOUS) if self._folder else ():
            path = Path(self._folder or "", name)
            if path.exists():
                try:
                    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
                except Exception:  # torch does not document what it raises for damaged files
                    print(f"the checkpoint {path} is damaged and was skipped")
                else:
                    return state
        return None
