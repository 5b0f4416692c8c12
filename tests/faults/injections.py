"""The kinds of faults: each a function of the stage on which it happens, by name."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from sqlalchemy import text

from search.store.database import DatabaseError, Engine
from tests.faults.history import History
from tests.faults.proxy import Proxy
from tests.faults.server import PostgresServer
from tests.faults.site import Site


@dataclass
class Scene:
    """What a fault may act on."""

    site: Site
    history: History
    engine: Engine  #: of the database itself, not by way of the proxy
    proxy: Proxy | None = None
    server: PostgresServer | None = None
    _ends: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def until(self, seconds: float, end: Callable[[], None]) -> None:
        """Have a fault end after so many seconds."""
        self._ends.append((time.monotonic() + seconds, end))

    @property
    def has_faults(self) -> bool:
        """Whether a fault still lasts."""
        return bool(self._ends)

    def end_faults(self, all_of_them: bool = False) -> None:
        """End the faults whose time is over."""
        now = time.monotonic()
        for entry in sorted(self._ends, key=lambda each: each[0]):
            if all_of_them or entry[0] <= now:
                self._ends.remove(entry)
                entry[1]()


Injection = Callable[[Scene, float], None]  # given how long it lasts
EVERYWHERE: dict[str, Injection] = {}
ON_SQLITE: dict[str, Injection] = {}
ON_POSTGRESQL: dict[str, Injection] = {}
ON_RAY: dict[str, Injection] = {}


def _kills(kind: str, number: signal.Signals = signal.SIGKILL, only: int | None = None) -> Injection:
    """Signal a kind of process; whatever ended is started again after a while, as an operator would."""

    def inject(scene: Scene, seconds: float) -> None:
        scene.site.signal(kind, number, only)
        scene.until(seconds, scene.site.start)

    return inject


def _freezes(kind: str) -> Injection:
    def inject(scene: Scene, seconds: float) -> None:
        frozen = scene.site.processes(kind)
        sqlite = scene.engine.dialect.name == "sqlite"
        with scene.engine.begin() if sqlite else nullcontext():  # has the only lock, so none of the frozen keeps it
            for process in frozen:
                with suppress(psutil.Error):
                    process.suspend()

        def thaw() -> None:
            for process in frozen:
                with suppress(psutil.Error):
                    process.resume()

        scene.until(seconds, thaw)

    return inject


def lock_database(scene: Scene, seconds: float) -> None:
    """Hold SQLite's write lock, or on PostgreSQL the rows of all searches."""
    locked = threading.Event()

    def hold() -> None:
        with suppress(DatabaseError), scene.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT id FROM searches FOR UPDATE"))
            locked.set()
            time.sleep(seconds)

    threading.Thread(target=hold, daemon=True).start()
    locked.wait(10)


def _on_proxy(**state: Any) -> Injection:
    def inject(scene: Scene, seconds: float) -> None:
        assert scene.proxy is not None
        for name, value in state.items():
            setattr(scene.proxy, name, value)
        if scene.proxy.refuses:
            scene.proxy.cut()
        scene.until(seconds, scene.proxy.heal)

    return inject


def cut_connections(scene: Scene, _: float) -> None:
    """Reset every connection to the database once."""
    assert scene.proxy is not None
    scene.proxy.cut()


def restart_server(scene: Scene, seconds: float) -> None:
    """Stop the database server at once, and start it again."""
    assert scene.server is not None
    scene.server.kill()
    scene.until(seconds, scene.server.start)


EVERYWHERE |= {
    "kill driver": _kills("driver"),
    "kill worker": _kills("worker"),
    "kill a trial": _kills("trial", only=1),
    "kill everything": _kills("tree"),
    "terminate worker": _kills("worker", signal.SIGTERM),
    "freeze driver": _freezes("driver"),
    "freeze worker": _freezes("worker"),
    "freeze trials": _freezes("trial"),
    "freeze everything": _freezes("tree"),
    "lock database": lock_database,
}
ON_POSTGRESQL |= {
    "cut connections": cut_connections,
    "delay replies": _on_proxy(delay=0.1),
    "lose replies": _on_proxy(loses_replies=True),
    "refuse connections": _on_proxy(refuses=True),
}
ON_RAY |= {
    "kill raylet": _kills("raylet", only=1),
    "freeze raylet": _freezes("raylet"),
    "kill gcs": _kills("gcs"),
    "freeze gcs": _freezes("gcs"),
}
RESTARTS: dict[str, Injection] = {"restart database": restart_server}
ALL = EVERYWHERE | ON_SQLITE | ON_POSTGRESQL | ON_RAY | RESTARTS

# At boundaries of transactions, and of the clock: planned before the processes start, see inside/failpoints.py
POINTS: dict[str, dict[str, Any]] = {
    "kill before commit": {"action": "kill", "when": "before"},
    "kill after commit": {"action": "kill", "when": "after"},
    "freeze before commit": {"action": "freeze", "when": "before"},
    "freeze after commit": {"action": "freeze", "when": "after"},
    "delay commit": {"action": "delay", "when": "before"},
    "disk full": {"action": "full", "when": "before"},
    "lose reply of commit": {"action": "lose reply", "when": "after"},
    "step clock": {"action": "step clock", "when": "ever"},
}
