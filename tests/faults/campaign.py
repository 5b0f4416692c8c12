"""A campaign: from a seed, a small search, commands and faults at seeded times; then quiet, and a check of all."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from planted import surface
from sqlalchemy import make_url

from search.settings import Settings
from search.store.database import open_engine
from search.vocabulary.secret import SecretUrl
from tests.faults import injections
from tests.faults.history import Command, Fault, History, read_journal
from tests.faults.injections import Scene
from tests.faults.invariants import Bounds, find_violations
from tests.faults.observer import Observer
from tests.faults.people import Person
from tests.faults.proxy import Proxy
from tests.faults.remains import Remains, Trial, read_searches
from tests.faults.server import PostgresServer
from tests.faults.site import Site
from tests.search.stored import finished_search, prepare

LEASE_SECONDS = 2.0
QUIET_SECONDS = 2 * LEASE_SECONDS + 60  # that a search may take to go on after the last fault
CANARY = "canary-7f3a9c"
NOISE = 0.002


class Actor(Protocol):
    """Whoever gives commands."""

    def submit(self, fields: dict[str, Any]) -> Command: ...
    def pause(self, search_id: str) -> Command: ...
    def cancel(self, search_id: str) -> Command: ...
    def resume(self, search_id: str) -> Command: ...
    def retry(self, search_id: str) -> Command: ...
    def archive(self, search_id: str) -> Command: ...
    def widen(self, search_id: str, more: dict[str, Any]) -> Command: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Happening:
    """A command or a fault, and when it happens."""

    at: float  #: seconds from the submission
    name: str
    seconds: float = 0.0  #: how long a fault lasts


@dataclass(frozen=True)
class Script:
    """What a seed says."""

    fields: dict[str, Any]
    happenings: list[Happening]
    points: list[dict[str, Any]]


COMMANDS = ["pause", "resume", "cancel", "pause+resume", "pause+cancel", "resume+cancel", "archive", "widen", "retry"]
WEIGHTS = [5, 5, 3, 2, 2, 2, 1, 1, 1]
SECONDS = 7.0  # in which everything happens: a start and the training of a search


def write_script(seed: int, database: str, ray: bool = False, restarts: bool = False) -> Script:
    """Draw a search and what happens to it."""
    chance = random.Random(f"{seed} {database}")
    fields: dict[str, Any] = {
        "recipe": "planted",
        "name": f"campaign {seed}",
        "gm": chance.choice([[4, 8], [2, 4, 8]]),
        "gc": [2, 4],
        "seeds": 2,
        "test_seeds": 1,
        "numbers": {"seconds": chance.choice([0.2, 0.5, 0.9]), "epochs": 2},
    }
    if chance.random() < 0.3:
        bad = chance.choice(["raise_at", "die_at", "diverge_at", "fork_at", "print_at"])
        fields["numbers"][bad] = 2
    scale = 3 if ray else 1
    kinds = injections.EVERYWHERE | (injections.ON_POSTGRESQL if database == "postgresql" else injections.ON_SQLITE)
    kinds |= injections.ON_RAY if ray else {}
    kinds |= injections.RESTARTS if restarts else {}
    happenings = [
        Happening(chance.uniform(0.3, SECONDS * scale), name, chance.uniform(0.0, 5.0))
        for name in chance.sample(sorted(kinds), chance.randint(1, 3))
    ]
    happenings += [
        Happening(chance.uniform(0.3, SECONDS * scale), name)
        for name in chance.choices(COMMANDS, WEIGHTS, k=chance.randint(1, 4))
    ]
    points = [_draw_point(chance, number) for number in range(chance.choice([0, 1, 1, 2]))]
    return Script(fields, sorted(happenings, key=lambda each: each.at), points)


def _draw_point(chance: random.Random, number: int) -> dict[str, Any]:
    name = chance.choice(sorted(injections.POINTS))
    role = "worker" if name == "step clock" else chance.choice(["driver", "driver", "driver", "worker"])
    return {
        **injections.POINTS[name],
        "id": f"{number}-{name.replace(' ', '-')}",
        "role": role,
        "commit": chance.randint(1, 60 if role == "driver" else 4),
        "after": chance.uniform(1, 6),
        "seconds": chance.choice([-1.0, 1.0, 3600.0]) if name == "step clock" else chance.uniform(0.5, 4.0),
    }


@dataclass(frozen=True)
class Result:
    """What a campaign found."""

    history: History
    violations: list[str]
    logs: str


class Campaign:
    """Runs a script against a worker over a database."""

    def __init__(
        self,
        script: Script,
        seed: int,
        url: str,
        home: Path,
        *,
        server: PostgresServer | None = None,
        lease_seconds: float = LEASE_SECONDS,
        without_ray: bool = True,
    ) -> None:
        self._script, self.history = script, History(seed)
        home.mkdir(parents=True, exist_ok=True)
        self._journal = home / "journal.jsonl"
        direct = Settings(home=home, db=SecretUrl(url), lease_seconds=lease_seconds, renew_seconds=lease_seconds / 4)
        self._proxy = Proxy(_socket_of(url)) if url.startswith("postgresql") else None
        proxied = direct
        if self._proxy:
            place = make_url(url).set(host="127.0.0.1", port=self._proxy.port, query={}, password=CANARY)
            proxied = replace(direct, db=SecretUrl(place.render_as_string(hide_password=False)))
        prepare(url)
        engine = open_engine(url)
        self._site = Site(proxied, script.points, without_ray=without_ray)
        self._scene = Scene(self._site, self.history, engine, self._proxy, server)
        self._people: list[Actor] = [Person(direct, self.history), Person(direct, self.history)]
        self._observer = Observer(open_engine(url, read_only=True), self.history)
        self._bounds = Bounds(lease_seconds=lease_seconds, value=_value_of, chosen=_chosen(script.fields))

    def run(self) -> Result:
        """Run everything; return the violations."""
        try:
            violations = self._run()
            return Result(self._everything(), violations, self._site.logs() if violations else "")
        finally:
            self._scene.end_faults(all_of_them=True)
            self._observer.stop()
            self._site.close()
            for person in self._people:
                person.close()
            if self._proxy:
                self._proxy.close()

    def _run(self) -> list[str]:
        fields = {**self._script.fields, "numbers": {**self._script.fields["numbers"], "journal": str(self._journal)}}
        submitted = self._people[0].submit(fields)
        if submitted.outcome != "ok":
            return [f"the search could not be submitted: {submitted.answer}"]
        search_id, began = submitted.answer, time.monotonic()
        self._site.start()
        for happening in self._script.happenings:
            self._wait_until(began + happening.at)
            self._happen(happening, search_id)
        while self._scene.has_faults:
            self._wait_until(time.monotonic() + 0.1)
        self._site.start()
        self._wait_for_quiet()
        violations = self._check()
        if not violations and any(search.status == "paused" for search in self._searches()):
            for search in self._searches():
                if search.status == "paused":
                    self._people[0].resume(search.id)
            self._wait_for_quiet()
            violations = self._check()
        self._site.stop()
        return violations + [each for each in self._check(self._site.left()) if each not in violations]

    def _wait_until(self, moment: float) -> None:
        while time.monotonic() < moment:
            self._scene.end_faults()
            time.sleep(0.05)

    def _happen(self, happening: Happening, search_id: str) -> None:
        if happening.name in injections.ALL:
            self.history.fault(happening.name, happening.seconds)
            injections.ALL[happening.name](self._scene, happening.seconds)
            return
        names = happening.name.split("+")
        calls = [_command(person, name, search_id) for person, name in zip(self._people, names, strict=False)]
        threads = [threading.Thread(target=call) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # a command may wait for a lock that a fault keeps
                self._scene.end_faults()
                thread.join(0.05)

    def _wait_for_quiet(self) -> None:
        """Wait until every search has ended or is paused, no trial runs, and nobody cleans up after one."""
        deadline, quiet_since = time.monotonic() + QUIET_SECONDS, None
        while time.monotonic() < deadline:
            time.sleep(0.1)
            self._site.start()  # a failpoint may end a worker late
            if not all(map(_is_quiet, self._searches())):
                quiet_since = None
                continue
            quiet_since = quiet_since or time.monotonic()
            if time.monotonic() - quiet_since > 1.0:
                return

    def _searches(self):
        return read_searches(self._scene.engine)

    def _check(self, left: tuple[list[str], list[str]] = ([], [])) -> list[str]:
        journal = self._everything()
        processes, files = map(tuple, left)
        leaks = tuple(find_leaks(self._site.settings.home, [CANARY]))
        remains = Remains(searches=self._searches(), processes=processes, files=files, leaks=leaks)
        return find_violations(journal, remains, self._bounds)

    def _everything(self) -> History:
        """Return the history with what trials and failpoints wrote."""
        records = [*self.history.records, *read_journal(self._journal)]
        for point in self._script.points:
            file = self._site.faults / f"happened-{point['id']}"
            if file.exists() and (said := file.read_text().split()):
                at = float(said[0])
                records.append(Fault(at=at, name=point["id"], until=at + point["seconds"]))
        return History(self.history.seed, records)


def _command(person: Actor, name: str, search_id: str) -> Callable[[], object]:
    if name == "widen":
        return lambda: person.widen(search_id, {"seeds": 3})
    return lambda: getattr(person, name)(search_id)


def _is_quiet(search: Any) -> bool:
    running = any(trial.state == "RUNNING" for trial in search.trials)
    return search.status not in ("queued", "running") and not (search.requested or search.held or running)


def _value_of(trial: Trial) -> float:
    return surface(trial.gm, trial.gc, trial.seed, NOISE)


def _chosen(fields: dict[str, Any]) -> dict[str, str]:
    """Return what the search chooses if nothing happens; nothing where its trials misbehave."""
    misbehaving = {"raise_at", "die_at", "diverge_at"} & fields["numbers"].keys()
    return {} if misbehaving else dict(_undisturbed(tuple(fields["gm"]), tuple(fields["gc"])))


@cache
def _undisturbed(gm: tuple[int, ...], gc: tuple[int, ...]) -> tuple[tuple[str, str], ...]:
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="undisturbed-"))
    url = f"sqlite:///{folder / 'test.db'}"
    finished_search(url, gm=list(gm), gc=list(gc), seeds=2, test_seeds=1)
    engine = open_engine(url, read_only=True)
    (search,) = read_searches(engine)
    engine.dispose()
    shutil.rmtree(folder)
    return tuple(search.chosen.items())


def _socket_of(url: str) -> Path:
    return Path(str(make_url(url).query["host"])) / ".s.PGSQL.5432"


def find_leaks(folder: Path, secrets: list[str]) -> list[str]:
    """Return the files of a folder that have a secret in them."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file() and any(secret.encode() in file.read_bytes() for secret in secrets):
            found.append(str(file))
    return found
