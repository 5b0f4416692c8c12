"""Fixtures of the service's tests: one database with searches, one server and one browser for the session."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from search.settings import Settings, to_environment
from search.store.database import open_engine
from service import accounts
from service.middleware.gate import COOKIE
from tests.lanes import require_mark
from tests.search.stored import finished_search, submit


class Site:
    """A running server, and the ids of the searches in its database."""

    def __init__(self, home: Path, port: int) -> None:
        self.settings = Settings(home=home, port=port, worker=0, guesses_per_minute=0)  # tests send many
        self.url = f"http://127.0.0.1:{port}"
        self.database = self.settings.database_url
        self.done = finished_search(self.database, name="a finished search")
        self.grid = finished_search(
            self.database, strategy="grid", gm=[4, 8], gc=[0, 2, 4], seeds=2, name="<b>markup</b> & 'quotes'"
        )
        self.queued = submit(self.database, name="waiting")
        self.engine = open_engine(self.database)
        self.clients: list[httpx2.Client] = []
        self.api = self.client("admin", owner="local")

    def token(self, *scopes: str, owner: str = "ada") -> str:
        """Create a token; return its text."""
        with self.engine.begin() as connection:
            _, text = accounts.create_token(connection, name="a test", owner=owner, scopes=scopes, lifetime=None)
        return text

    def client(self, *scopes: str, owner: str = "ada") -> httpx2.Client:
        """Return a client with its own token."""
        headers = {"Authorization": f"Bearer {self.token(*scopes, owner=owner)}"}
        self.clients.append(httpx2.Client(base_url=self.url, headers=headers, timeout=30))
        return self.clients[-1]

    def log_in(self, context: BrowserContext, *scopes: str, owner: str = "local") -> None:
        """Give a browser a session, as logging in does."""
        text = self.token(*scopes, owner=owner)
        with self.engine.begin() as connection:
            token = accounts.authenticate_token(connection, text)
            assert token
            cookie = accounts.open_session(connection, token, 3600)
        context.add_cookies(
            [{"name": COOKIE, "value": cookie, "url": self.url, "httpOnly": True, "sameSite": "Strict"}]
        )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running service."""
    site = Site(tmp_path_factory.mktemp("site"), free_port())
    with serving(site.settings):
        yield site
        for client in site.clients:
            client.close()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def serving(settings: Settings, code: str = "from service.__main__ import main; main()") -> Iterator[Path]:
    """Run the service; yield the path of its output."""
    settings.home.mkdir(parents=True, exist_ok=True)
    printed = settings.home / "service.log"
    with printed.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=os.environ | to_environment(settings), stdout=log, stderr=log
        )
        try:
            for _ in range(300):
                try:
                    httpx2.get(f"http://{settings.host}:{settings.port}/healthz").raise_for_status()
                    break
                except httpx2.HTTPError:
                    assert process.poll() is None, printed.read_text()
                    time.sleep(0.1)
            yield printed
        finally:
            process.terminate()
            assert process.wait(30) == 0, printed.read_text()


WAIT_MS = 60_000  # for a page to show something, on a machine that also trains
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> Iterator[Browser]:
    """A headless Chromium, from the PATH or installed now."""
    require_mark(pytestconfig, "browser")
    with sync_playwright() as playwright:
        executable = chromium()
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        )
        yield browser
        browser.close()


def chromium() -> str | None:
    """Return the path of a Chromium, or None for Playwright's own. Fail with the reason if none can be installed."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    own = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], capture_output=True, text=True)
    if own.returncode == 0:
        return None
    said = [own.stderr.strip()[-500:]]
    for words in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        try:
            distribution = subprocess.run(words, capture_output=True, text=True)
            said.append(distribution.stderr.strip()[-500:])
        except FileNotFoundError as error:
            said.append(str(error))
    found = shutil.which("chromium")
    assert found, f"the browser tests need a Chromium: none is on the PATH, and none could be installed: {said}"
    return found


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page with an admin's session. Fails on console errors, script errors and requests to other origins."""
    with watched(browser, site) as page:
        yield page


@contextmanager
def watched(browser: Browser, site: Site, *scopes: str, **options: Any) -> Iterator[Page]:
    """Open a page with a session of these scopes, ``admin`` by default; ``none`` opens one without a session."""
    context = browser.new_context(**options)
    if scopes != ("none",):
        site.log_in(context, *(scopes or ("admin",)))
    page = context.new_page()
    page.set_default_timeout(2 * WAIT_MS)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: _check_origin(request.url, faults))
    yield page
    context.close()
    assert not faults, faults


def _check_origin(url: str, faults: list[str]) -> None:
    if not url.startswith(("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:")):
        faults.append(f"a request to another origin: {url}")
