"""The wheel: what is in it, and that it works where there is nothing else of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import httpx2
import pytest
from packaging.requirements import Requirement

from tests.service.conftest import free_port

pytestmark = pytest.mark.usefixtures("own_ray")  # of all, as they share an installation

ROOT = Path(__file__).parents[1]
PACKAGES = ("seqnorm", "trainers", "search", "service")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TUNE = ("digits-mlp", "--gm", "4", "--gc", "2", "--seeds", "1", "--test-seeds", "1", "--set", "epochs=1")


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, in a folder with nothing of the checkout."""

    wheel: Path
    bin: Path
    cwd: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of somebody who never saw the checkout, nor a Ray whose workers have it."""
        ours = ("PYTHON", "SEQNORM_", "RAY_ADDRESS")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {"SEQNORM_HOME": str(self.home), "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *words: str) -> str:
        """Run a program of the environment to its end; return what it prints."""
        done = subprocess.run(
            [self.bin / words[0], *words[1:]], cwd=self.cwd, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of a copy of the sources, in an environment that shares the third parties of this one.

    A line of a ``.pth`` file adds a folder without the ``.pth`` files in it, so this environment's link to the checkout
    stays out. Builds with the setuptools that torch brings, so no network is needed.
    """
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]):
        shutil.copy(ROOT / name, sources)
    (sources / "tests").mkdir()
    (sources / "tests/test_nothing.py").touch()
    build = "import setuptools.build_meta as backend, sys; backend.build_wheel(sys.argv[1])"
    _run(sys.executable, "-c", build, str(folder), cwd=sources)
    (wheel,) = folder.glob("*.whl")
    shutil.rmtree(sources)
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder / "env"), cwd=folder)
    paths = sysconfig.get_paths(vars={"base": str(folder / "env"), "platbase": str(folder / "env")}, scheme="venv")
    bin = Path(paths["scripts"])
    install = ("--disable-pip-version-check", "--python", str(bin / "python"), "install", "--no-deps", "--no-index")
    _run(sys.executable, "-m", "pip", *install, str(wheel), cwd=folder)
    (Path(paths["purelib"]) / "third_parties.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "cwd").mkdir()
    return Installed(wheel, bin, folder / "cwd", folder / "home")


def _run(*words: str, cwd: Path) -> None:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"


def test_the_wheel_has_every_file_of_the_four_packages_and_nothing_else(installed: Installed) -> None:
    files = {file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file()}
    sources = {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}
    with ZipFile(installed.wheel) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == sources


def test_the_wheel_says_what_it_is_and_needs(installed: Installed) -> None:
    with ZipFile(installed.wheel) as wheel:
        (folder,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
        metadata = message_from_string(wheel.read(f"{folder}/METADATA").decode())
        assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        entries = wheel.read(f"{folder}/entry_points.txt").decode().splitlines()
    for field, key in (("Name", "name"), ("Version", "version"), ("Summary", "description")):
        assert metadata[field] == PROJECT[key]
    assert (metadata["Requires-Python"], metadata["License-Expression"]) == (">=3.11", "MIT")
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    assert [need.name for need in needed if need.marker is None] == ["torch"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    declared = {**PROJECT["scripts"], **PROJECT["entry-points"]["seqnorm.recipes"]}
    assert {f"{name} = {target}" for name, target in declared.items()} <= set(entries)


def test_what_is_installed_is_all_that_is_imported(installed: Installed) -> None:
    code = "import json, sys; from importlib.util import find_spec; " + (
        f"print(json.dumps([sys.path, *(find_spec(name).origin for name in {PACKAGES})]))"
    )
    path, *files = json.loads(installed.run("python", "-c", code))
    environment = installed.bin.parent
    assert all(Path(file).is_relative_to(environment) for file in files), files
    assert str(ROOT) not in path


@pytest.fixture(scope="module")
def result(installed: Installed) -> dict:
    """What a small search gives that is tuned with what is installed."""
    return json.loads(installed.run("seqnorm", "tune", *TUNE, "--json"))


def test_tune_trains_on_ray_with_what_is_installed(installed: Installed, result: dict) -> None:
    assert result["status"] == "done"
    assert result["chosen"] == {"variant": "main", "gm": 4, "gc": 2}
    assert result["trials"] == {"run": 6, "reused": 0, "failed": 0}


@pytest.fixture(scope="module")
def served(installed: Installed, result: dict) -> Iterator[httpx2.Client]:
    """A client, with a token, of the service that is installed, beside its worker."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    printed = installed.cwd / "serve.log"
    with printed.open("w") as log:
        process = subprocess.Popen(
            [installed.bin / "seqnorm", "serve", "--port", str(port)],
            cwd=installed.cwd,
            env=installed.environment,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 120
        while not _ready(url):
            assert process.poll() is None, printed.read_text()
            assert time.monotonic() < deadline, printed.read_text()
            time.sleep(0.2)
        token = (installed.home / "token").read_text().strip()
        with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            yield client
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)


def _ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=60).status_code == 200
    except httpx2.HTTPError:
        return False


def test_serve_shows_the_search_with_every_file_that_its_pages_need(served: httpx2.Client, result: dict) -> None:
    assert served.get("/readyz").json()["migrations"] == "ok"
    assert served.get("/healthz").json() == {"status": "ok"}
    stranger = httpx2.get(served.base_url.join("/login"), timeout=60)
    assert (stranger.status_code, "Log in" in stranger.text) == (200, True)
    page = served.get(f"/searches/{result['search']}")
    assert page.status_code == 200
    assert result["stages"][0]["sentence"] in page.text
    for file in sorted((ROOT / "service/static").rglob("*")):
        if file.is_file():
            got = served.get(f"/static/{file.relative_to(ROOT / 'service/static').as_posix()}")
            assert (got.status_code, got.content) == (200, file.read_bytes()), file.name
    for path in ("/", "/new", "/docs", "/cluster", "/tokens", "/plotly.js"):
        assert served.get(path).status_code == 200, path
    assert served.get(f"/api/searches/{result['search']}").json()["chosen"] == result["chosen"]
