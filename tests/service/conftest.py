"""One database with searches in it, one server over it and one browser, shared by the tests of the service."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from search.settings import Settings, environment_of
from tests.search.engine import finished_search, submit


class Site:
    """A server, and the ids of the searches behind it."""

    def __init__(self, home: Path, port: int) -> None:
        self.settings = Settings(home=home, port=port)
        self.url = f"http://127.0.0.1:{port}"
        self.database = self.settings.database_url
        self.done = finished_search(self.database, name="a finished search")
        self.grid = finished_search(
            self.database, strategy="grid", gm=[4, 8], gc=[0, 2, 4], seeds=2, name="<b>markup</b> & 'quotes'"
        )
        self.queued = submit(self.database, name="waiting")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = Site(tmp_path_factory.mktemp("site"), port)
    log = (site.settings.home / "service.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], env=os.environ | environment_of(site.settings), stdout=log, stderr=log
    )
    for _ in range(200):
        try:
            urlopen(f"{site.url}/healthz").close()
            break
        except URLError:
            assert process.poll() is None, (site.settings.home / "service.log").read_text()
            time.sleep(0.1)
    yield site
    process.terminate()
    assert process.wait(10) in (0, -15)
    log.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium: the one on the PATH, else one that is installed now."""
    with sync_playwright() as playwright:
        executable = chromium()
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        )
        yield browser
        browser.close()


def chromium() -> str | None:
    """Return the path of a Chromium; None for Playwright's own. Fails, with the reason, where none can be had."""
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
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test on a console error, a script error, or a request to another origin."""
    page = browser.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: _check_origin(request.url, faults))
    yield page
    page.close()
    assert not faults, faults


def _check_origin(url: str, faults: list[str]) -> None:
    if not url.startswith(("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:")):
        faults.append(f"a request to another origin: {url}")
