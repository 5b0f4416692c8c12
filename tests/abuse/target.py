"""A service in this process with everybody who may come to it, and searches to ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from json import dumps
from typing import Any

from sqlalchemy import Engine, update

from search.settings import Settings
from search.store import tables
from search.store.database import now, open_engine
from service import accounts
from service.app import create_app
from service.middleware.access import COOKIE
from tests.abuse.client import HOST, Answer, Client, asking
from tests.engines import LASTING
from tests.search.stored import finished_search, submit

ORIGIN = f"http://{HOST}"
OWN_PAGE = {"Origin": ORIGIN, "X-Requested-With": "seqnorm"}
CHOSEN = "test-main-gm8-gc4-seed1000"  # of the finished search
SMALL: dict[str, Any] = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


@dataclass(frozen=True)
class Identity:
    """Somebody who sends requests."""

    owner: str  #: whose searches they are; empty for a stranger
    scopes: tuple[str, ...]  #: empty for a stranger
    headers: dict[str, str]  #: that identify them

    def has(self, *scopes: str) -> bool:
        """Tell whether they have one of several scopes."""
        return "admin" in self.scopes or any(scope in self.scopes for scope in scopes)


class Target:
    """The service, its client, its identities, and the searches of ada, one finished and one queued."""

    def __init__(self, settings: Settings, client: Client, engine: Engine, done: str) -> None:
        self.settings, self.client, self.engine, self.done = settings, client, engine, done
        self.queued = submit(settings.database_url, owner="ada", name="the queued search")
        weights = settings.search_folder(self.done) / "checkpoints" / CHOSEN / "checkpoint.pt"
        weights.parent.mkdir(parents=True)
        weights.write_bytes(b"weights")
        self.spare_token = self.token("read", owner="spare").split("_")[1]  # to be revoked
        self.identities = {
            "nobody": Identity("", (), {}),
            "junk": Identity("", (), {"Authorization": "Bearer seqnorm_0123456789ab_" + "x" * 43}),
            "another scheme": Identity("", (), {"Authorization": "Basic YWRhOmFkYQ=="}),
            "expired": Identity("", (), self._ended("expires_at")),
            "revoked": Identity("", (), self._ended("revoked_at")),
            "no cookie": Identity("", (), {"Cookie": f"{COOKIE}=" + "x" * 43}),
            "reader": self._identity("read", owner="rita"),
            "owner": self._identity("submit", owner="ada"),
            "owner, by cookie": Identity("ada", ("submit",), OWN_PAGE | self.cookie("submit", owner="ada")),
            "stranger": self._identity("submit", owner="eve"),
            "reader who submits": self._identity("read", "submit", owner="bob"),
            "manager": self._identity("manage", owner="mia"),
            "admin": self._identity("admin", owner="root"),
        }

    def token(self, *scopes: str, owner: str) -> str:
        """Create a token; return its text."""
        with self.engine.begin() as connection:
            return accounts.create_token(connection, name="a test", owner=owner, scopes=scopes, lifetime=None)[1]

    def cookie(self, *scopes: str, owner: str) -> dict[str, str]:
        """Open a session; return the header of its cookie."""
        with self.engine.begin() as connection:
            token = accounts.create_token(connection, name="a test", owner=owner, scopes=scopes, lifetime=None)[0]
            return {"Cookie": f"{COOKIE}={accounts.open_session(connection, token, 3600)}"}

    def _identity(self, *scopes: str, owner: str) -> Identity:
        return Identity(owner, scopes, {"Authorization": f"Bearer {self.token(*scopes, owner=owner)}"})

    def _ended(self, column: str) -> dict[str, str]:
        text = self.token("admin", owner="gone")
        with self.engine.begin() as connection:
            of_token = update(tables.tokens).where(tables.tokens.c.id == text.split("_")[1])
            connection.execute(of_token.values({column: now() - 1}))
        return {"Authorization": f"Bearer {text}"}

    def ask(self, who: str, method: str, path: str, headers: Mapping[str, str] = {}, json: Any = None) -> Answer:
        """Send a request as somebody."""
        sent = {**self.identities[who].headers, **headers}
        if json is None:
            return self.client.send(method, path, sent)
        return self.client.send(method, path, {"Content-Type": "application/json", **sent}, dumps(json).encode())


@contextmanager
def attacked(settings: Settings) -> Iterator[Target]:
    """Start a service in this process, without a server and without limits on how often it is asked."""
    done = finished_search(settings.database_url, owner="ada", name="the finished search", **SMALL)
    engine = open_engine(settings.database_url)
    app = create_app(settings)
    LASTING.update((app.state.database.read_engine, app.state.database.write_engine, engine))
    with asking(app) as client:
        app.state.notifier.closing = True  # event streams end after what there is
        yield Target(settings, client, engine, done)
    engine.dispose()
