"""Makes one report an epoch of the figures that a program reports or prints, however often it does."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_EPOCHS = 10_000  # reported of a trial: one that counts every step would fill the database
MAX_FIGURES = 100  # of an epoch, as a search takes them
LARGEST_EPOCH = 2**31 - 1

Figures = dict[str, float]


@dataclass(frozen=True)
class Record:
    """Figures that belong together, e.g. of a line of output."""

    figures: Figures
    epoch: int | None = None  #: None if it was not named


@dataclass
class Epochs:
    """Collects records by epoch; of a figure that an epoch has twice, the last counts.

    An epoch is complete when the next one begins. As long as every epoch had one record, the next is taken for complete
    at once, so that most programs are followed without delay. Records without an epoch are counted.
    """

    left_out: int = 0  #: epochs beyond ``MAX_EPOCHS``
    _epoch: int | None = None
    _figures: Figures = field(default_factory=dict)
    _is_reported: bool = True
    _begun: int = 0
    _repeated: bool = False
    _largest: int = 0

    def add(self, record: Record) -> list[tuple[int, Figures]]:
        """Add a record; return the epochs that are now complete."""
        if record.epoch is not None and record.epoch == self._epoch:
            self._repeated = True
            self._figures = _merged(self._figures, record.figures)
            return []
        complete = self.finish()
        self._epoch = record.epoch
        self._figures = _merged({}, record.figures)
        self._is_reported = False
        self._begun += 1
        if record.epoch is None or (self._begun > 1 and not self._repeated):
            complete += self.finish()
        return complete

    def finish(self) -> list[tuple[int, Figures]]:
        """Return the epoch that was not known to be complete."""
        if self._is_reported:
            return []
        self._is_reported = True
        number = self._largest + 1 if self._epoch is None else self._epoch
        self._largest = max(self._largest, number)
        if self._begun > MAX_EPOCHS or not 0 <= number <= LARGEST_EPOCH:
            self.left_out += 1
            return []
        return [(number, self._figures)]


def _merged(before: Figures, added: Figures) -> Figures:
    merged = {**before, **added}
    merged.pop("epoch", None)
    if len(merged) <= MAX_FIGURES:
        return merged
    return {name: merged[name] for name in list(merged)[:MAX_FIGURES]}
