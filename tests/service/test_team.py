"""The service as the compose file starts it, without containers: its commands and variables, on this host."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from playwright.sync_api import Browser, expect

from tests.compose.files import ROOT, read_team
from tests.service.conftest import free_port

HEAD = "127.0.0.2"  # an address of its own, as Ray takes this host's other ones for one node
PLACE = "RAY_TMPDIR"  # Ray's variable for a node's folder; marks what the test has started


class Team:
    """Starts services of the compose file as processes, each with the variables that are its own."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.home = home
        self.place = Path(tempfile.mkdtemp(prefix="team-"))  # short: sockets have a limit on their path
        self.url = f"http://127.0.0.1:{free_port()}"
        self._file = read_team()
        self._started: list[subprocess.Popen[bytes]] = []
        secret = {"database_url": database_url, "ray_token": secrets.token_hex(32), "webhook_secret": "whsec_unused"}
        for name, value in secret.items():
            (self.place / name).write_text(value)
        self._here = {
            "/run/secrets": str(self.place),
            "/var/lib/seqnorm": str(home),
            "ray-head:6379": f"{HEAD}:{free_port()}",
            "http://127.0.0.1:8000": self.url,
        }
        self._here["--port=6379"] = f"--port={self._here['ray-head:6379'].partition(':')[2]}"
        self._here["--port=8000"] = f"--port={self.url.rpartition(':')[2]}"

    def start(self, service: str, *more: str) -> subprocess.Popen[bytes]:
        """Start a service."""
        with (self.place / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(
                [*self._words(self._file.services[service]["command"]), *more],
                env=self._environment(service),
                stdout=log,
                stderr=log,
            )
        self._started.append(process)
        return process

    def run(self, service: str, *command: str) -> str:
        """Run a command in the place of a service, to its end; return what it prints."""
        words = self._words(list(command) or self._file.services[service]["command"])
        done = subprocess.run(words, env=self._environment(service), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def is_healthy(self, service: str) -> bool:
        """Ask a service's health check."""
        words, environment = self._words(self._file.probe(service)), self._environment(service)
        with suppress(subprocess.TimeoutExpired):
            return subprocess.run(words, env=environment, capture_output=True, timeout=5).returncode == 0
        return False

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 240) -> Any:
        """Wait until something holds; return it."""
        deadline = time.monotonic() + seconds
        while not (held := condition()):
            logs = [*self.place.glob("*.log"), *self.home.glob("searches/*/driver.log")]
            said = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs)
            assert time.monotonic() < deadline, f"{what}\n{said}"
            time.sleep(0.1)
        return held

    def wait_for_node(self, service: str, count: int) -> None:
        """Wait until so many Ray nodes of a service have joined."""
        log = self.place / f"{service}.log"
        self.wait(lambda: log.read_text().count("Ray runtime started") >= count, f"no node of {service} came")

    def stop(self) -> None:
        """End all that was started, the worker first, which is to leave in order."""
        for process in reversed(self._started):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        left = self.processes("")
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        for process in self._started:
            process.wait(10)
        shutil.rmtree(self.place, ignore_errors=True)

    def processes(self, word: str) -> list[psutil.Process]:
        """Return the processes of the team with a word in their command line."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(PLACE) == str(self.place) and word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def _words(self, words: list[str]) -> list[str]:
        """Put what is here in the place of what is in containers."""
        for there, here in self._here.items():
            words = [word.replace(there, here) for word in words]
        return words

    def _environment(self, service: str) -> dict[str, str]:
        own = self._file.constants(service)
        programs = f"{Path(sys.executable).parent}:{ROOT / 'docker'}:{os.environ['PATH']}"
        return {**os.environ, "PATH": programs, PLACE: str(self.place)} | dict(
            zip(own, self._words(list(own.values())), strict=True)
        )


@pytest.fixture
def team(own_ray: None, database_url: str, tmp_path: Path) -> Iterator[Team]:
    team = Team(tmp_path / "home", database_url)
    yield team
    team.stop()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_search_of_a_team_outlives_a_node_and_takes_up_another(team: Team, browser: Browser, tmp_path: Path) -> None:
    head = team.start("ray-head", f"--node-ip-address={HEAD}")
    team.run("schema")
    token = team.run("web", "seqnorm", "token", "create", "me", "--owner=me", "--scopes=admin").strip()
    team.start("web")
    team.wait_for_node("ray-head", 1)  # each question before would take seconds of CPU
    team.wait(lambda: team.is_healthy("ray-head"), "Ray does not answer")
    team.start("worker")
    team.wait(lambda: team.is_healthy("web"), "the web service does not answer")
    team.wait_for_node("worker", 1)  # nodes of one host join one by one, as Ray knows them by their address

    journal, released = tmp_path / "journal", tmp_path / "released"
    numbers = {"seconds": 0.6, "journal": str(journal), "hold_at": 8, "hold_until": str(released)}
    with httpx2.Client(base_url=team.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as api:
        team.wait(lambda: api.get("/readyz").status_code == 200, "no worker came")
        spec = {
            "recipe": "planted",
            "name": "of a team",
            "strategy": "grid",
            "gm": [1, 8],
            "gc": [2, 4],
            "seeds": 2,
            "test_seeds": 1,
            "numbers": numbers,
        }
        search = api.post("/api/searches", json=spec).raise_for_status().json()["search"]
        team.wait(lambda: is_running(api, search), "no driver took the search")
        first = team.start("ray-cpu", "--num-cpus=1")  # a search waits for nodes that are not there yet

        def trials() -> list[dict[str, Any]]:
            answer = api.get(f"/api/searches/{search}/trials", params={"limit": 100}).raise_for_status()
            return list(answer.json()["trials"])

        def nodes(state: str, gm: int) -> set[str]:
            places = [trial["where"] for trial in trials() if (trial["state"], trial["gm"]) == (state, gm)]
            return {place["node"] for place in places if place}

        team.wait(lambda: nodes("COMPLETE", 1), "no trial finished")
        team.wait_for_node("ray-cpu", 1)
        team.start("ray-cpu", "--num-cpus=1")
        team.wait(lambda: len(nodes("RUNNING", 8)) == 2, "the new node trains nothing")
        for process in team.processes("ray::"):
            assert not [name for name in process.environ() if name.startswith("SEQNORM_DB")]
        (raylet,) = [child for child in psutil.Process(first.pid).children() if "raylet" in child.name()]
        cut = raylet.children(recursive=True)
        raylet.send_signal(signal.SIGKILL)
        psutil.wait_procs(cut, timeout=30)
        released.touch()
        shown = team.wait(lambda: is_done(api, search), "the search did not end", 180)
        rows = trials()
    assert first.wait(10) == 1, "a container whose node is gone ends, and starts anew"
    assert head.poll() is None

    complete = Counter(replicate(t) for t in rows if t["state"] == "COMPLETE")
    assert set(complete.values()) == {1}
    assert len(complete) == 2 * 2 * 2 + len(shown["test"])
    (lost,) = [t for t in rows if t["state"] != "COMPLETE"]
    assert (lost["cause"], lost["detail"]) == ("lost", "its node was lost")
    (again,) = [t for t in rows if t["state"] == "COMPLETE" and replicate(t) == replicate(lost)]
    assert again["where"]["node"] != lost["where"]["node"]
    ended = Counter(line for line in journal.read_text().splitlines() if line.startswith("end"))
    assert set(ended.values()) == {1}
    assert len(ended) == len(complete)

    page = browser.new_page()
    page.goto(f"{team.url}/searches/{search}")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="of a team")).to_be_visible()
    expect(page.get_by_text(shown["stages"][0]["sentence"])).to_be_visible()
    page.close()


def replicate(trial: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a trial trains."""
    return tuple(trial[name] for name in ("stage", "gm", "gc", "seed"))


def is_running(api: httpx2.Client, search: str) -> bool:
    """Say whether a driver has taken the search."""
    return bool(api.get(f"/api/searches/{search}").raise_for_status().json()["status"] == "running")


def is_done(api: httpx2.Client, search: str) -> Any:
    """Return the search if it is done, and refuse any other end."""
    shown = api.get(f"/api/searches/{search}").raise_for_status().json()
    assert shown["status"] in ("queued", "running", "done"), shown["reason"]
    return shown if shown["status"] == "done" else None
