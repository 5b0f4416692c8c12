"""What happened in a run: commands with their outcomes, states seen in the database, steps of trials, faults.

Times are of the monotonic clock, which all processes of a host share and no fault steps.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

Outcome = Literal["ok", "refused", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that somebody gave, and what was answered."""

    what: str  #: submit, pause, cancel, resume, retry, widen or archive
    search: str  #: its id; for submit the name that the new search was to have
    outcome: Outcome  #: unknown if no answer came: it may or may not have been carried out
    answer: str  #: the status after it, the id of a new search, or why it was refused
    began: float
    ended: float


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A search as the database had it at a moment."""

    at: float
    search: str
    status: str
    requested: str | None
    epoch: int
    held: bool  #: whether its lease had not ended
    trials: dict[str, str]  #: state by trial_id, with the value once there is one


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a trial's process wrote to its own journal."""

    at: float
    what: Literal["begin", "end"]
    search: str
    key: str  #: of the replicate
    pid: int
    driver: str = ""  #: the life of a driver that it belongs to, where it is known


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault that was injected."""

    at: float
    name: str
    until: float  #: when it was over


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer of the web service."""

    at: float
    request: str
    status: int
    content_type: str
    retry_after: str | None
    body: str


Record = Command | Sample | Step | Fault | Response
KINDS: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in (Command, Sample, Step, Fault, Response)}
Some = TypeVar("Some", Command, Sample, Step, Fault, Response)


@dataclass
class History:
    """The records of one run; several threads may add to it."""

    seed: int = 0
    records: list[Record] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, record: Record) -> None:
        with self._lock:
            self.records.append(record)

    def of(self, kind: type[Some], search: str | None = None) -> list[Some]:
        """Return the records of a kind, of one search if given, in order."""
        with self._lock:
            found = [record for record in self.records if isinstance(record, kind)]
        return [record for record in found if search is None or getattr(record, "search", None) == search]

    def fault(self, name: str, seconds: float) -> None:
        """Record a fault that begins now."""
        self.add(Fault(at=time.monotonic(), name=name, until=time.monotonic() + seconds))

    def give(
        self,
        what: str,
        search: str,
        command: Callable[[], str],
        refusals: tuple[type[Exception], ...],
        unknown: tuple[type[Exception], ...],
    ) -> Command:
        """Give a command; record and return what became of it."""
        began = time.monotonic()
        outcome: Outcome
        try:
            outcome, answer = "ok", command()
        except refusals as error:
            outcome, answer = "refused", f"{type(error).__name__}: {error}"
        except unknown as error:
            outcome, answer = "unknown", f"{type(error).__name__}: {error}"
        ended = time.monotonic()
        given = Command(what=what, search=search, outcome=outcome, answer=answer, began=began, ended=ended)
        self.add(given)
        return given

    def save(self, file: Path) -> None:
        """Write the records, one JSON object in each line."""
        with self._lock:
            lines = [json.dumps({"kind": type(each).__name__.lower(), **asdict(each)}) for each in self.records]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join([json.dumps({"seed": self.seed}), *lines]) + "\n")


def load(file: Path) -> History:
    """Read a history that was saved."""
    head, *lines = map(json.loads, file.read_text().splitlines())
    return History(head["seed"], [KINDS[line.pop("kind")](**line) for line in lines])


def read_journal(file: Path) -> list[Step]:
    """Read what trials wrote; a process that was killed may have left half a line."""
    steps = []
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.startswith("{") and line.endswith("}"):
            steps.append(Step(**json.loads(line)))
    return steps


@contextmanager
def kept_if_failed(history: History, folder: Path) -> Iterator[None]:
    """Keep the history of a run that fails, and say where it is."""
    try:
        yield
    except BaseException as error:
        file = folder / f"seed-{history.seed}.jsonl"
        history.save(file)
        error.add_note(f"seed {history.seed}; its history is kept in {file}")
        raise
