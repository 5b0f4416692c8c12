"""What ``docker compose up`` promises: each check is kept by the files, and refuses a copy that is broken by hand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from search.settings import read_settings
from tests.compose.checks import (
    CHECKS,
    Check,
    a_lost_node_is_noticed_as_on_one_host,
    devices_are_profiles,
    each_image_is_built_once,
    everything_that_runs_on_is_checked,
    help_of,
    image_has_what_it_copies,
    nobody_is_root,
    nobody_takes_the_host,
    nothing_else_is_said_of_a_service,
    only_the_web_port_is_published,
    operators_can_set_what_is_theirs,
    parts_are_there,
    programs_know_their_options,
    ray_asks_for_a_token,
    scripts_are_in_the_image,
    secrets_are_files,
    trials_do_not_reach_the_database,
    variables_are_known,
    versions_are_pinned,
    what_ends_is_started_again,
    what_is_compiled_is_run,
    what_must_last_is_on_volumes,
)
from tests.compose.files import ROOT, Team, read_team


@pytest.fixture(scope="module")
def team() -> Team:
    return read_team()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_files_keep(team: Team, check: Check) -> None:
    assert list(check(team)) == []


def put(path: str, value: Any) -> Callable[[Team], None]:
    """Return what sets a value in the compose file, under keys with dots between; None removes it."""

    def change(team: Team) -> None:
        *parents, last = path.split(".")
        place = team.file
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


def instead(old: tuple[str, str], new: tuple[str, str] | None) -> Callable[[Team], None]:
    """Return what replaces an instruction of the Dockerfile."""

    def change(team: Team) -> None:
        at = team.dockerfile.index(old)
        team.dockerfile[at : at + 1] = [new] if new else []

    return change


def rename(service: str, old: str, new: str) -> Callable[[Team], None]:
    """Return what gives a variable of a service another name."""

    def change(team: Team) -> None:
        environment = team.file["services"][service]["environment"]
        environment[new] = environment.pop(old)

    return change


def add(path: str, value: Any) -> Callable[[Team], None]:
    """Return what adds to a list in the compose file."""

    def change(team: Team) -> None:
        place: Any = team.file
        for key in path.split("."):
            place = place[key]
        place.append(value)

    return change


def shell(change: Callable[[dict[str, list[list[str]]]], Any]) -> Callable[[Team], None]:
    """Return what changes the commands of scripts."""
    return lambda team: change(team.scripts)


COMPILER = (
    "RUN",
    "apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*",
)
USER, PYTHON = ("USER", "seqnorm"), ("FROM", "python:3.11.14-slim-bookworm")
PORTS, GPUS = "services.web.ports", "services.ray-gpu.deploy.resources.reservations.devices.0"
WEB = ["seqnorm", "serve", "--no-worker"]
NODE = ["ray", "start", "--address=ray-head:6379"]
BREAKS: list[tuple[Check, Callable[[Team], None]]] = [
    (parts_are_there, put("services.worker", None)),
    (parts_are_there, put("services.web.command", ["seqnorm", "serve"])),
    (parts_are_there, shell(lambda scripts: scripts["worker.sh"].pop())),
    (parts_are_there, put("services.web.command", WEB)),
    (parts_are_there, put("services.ray-cpu.command", NODE)),
    (parts_are_there, put("services.ray-head.command", ["ray", "start", "--head", "--block"])),
    (nothing_else_is_said_of_a_service, put("services.web.pid", "host")),
    (nothing_else_is_said_of_a_service, put("services.ray-cpu.ipc", "host")),
    (nothing_else_is_said_of_a_service, put("services.ray-gpu.devices", ["/dev/mem"])),
    (what_ends_is_started_again, put("services.ray-cpu.restart", None)),
    (what_ends_is_started_again, put("services.schema.restart", "always")),
    (what_ends_is_started_again, put("services.worker.init", None)),
    (what_ends_is_started_again, put("services.worker.stop_grace_period", "1s")),
    (what_ends_is_started_again, put("services.web.stop_grace_period", None)),
    (what_ends_is_started_again, put("services.ray-cpu.environment.RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", 30)),
    (each_image_is_built_once, put("services.web.build", {"context": "."})),
    (each_image_is_built_once, put("services.schema.build", None)),
    (each_image_is_built_once, put("services.web.pull_policy", None)),
    (operators_can_set_what_is_theirs, put("services.web.environment.SEQNORM_HOSTS", "")),
    (operators_can_set_what_is_theirs, put("services.web.environment.SEQNORM_HOSTS", "${SEQNORM_HOSTS:-}")),
    (operators_can_set_what_is_theirs, lambda team: team.environment.pop("SEQNORM_HOSTS")),
    (operators_can_set_what_is_theirs, lambda team: team.proposed.append("SEQNORM_WEBHOOK")),
    (operators_can_set_what_is_theirs, put("services.worker.environment.SEQNORM_WEBHOOKS", None)),
    (operators_can_set_what_is_theirs, put("services.web.environment.FORWARDED_ALLOW_IPS", None)),
    (a_lost_node_is_noticed_as_on_one_host, put("services.ray-head.environment.RAY_health_check_period_ms", 3000)),
    (programs_know_their_options, put("services.web.command", [*WEB, "--quietly"])),
    (programs_know_their_options, put("services.schema.command", ["seqnorm", "db", "uprade"])),
    (programs_know_their_options, put("services.ray-cpu.command", [*NODE, "--num-cpu=2"])),
    (programs_know_their_options, put("services.postgres.healthcheck.test", ["CMD", "pg_isready", "--user=x"])),
    (programs_know_their_options, put("services.ray-head.healthcheck.test", ["CMD", "ray", "staus"])),
    (programs_know_their_options, shell(lambda scripts: scripts["worker.sh"][0].append("--blocking"))),
    (scripts_are_in_the_image, put("services.worker.command", ["workers.sh"])),
    (scripts_are_in_the_image, instead(("COPY", "docker/worker.sh /usr/local/bin/"), None)),
    (image_has_what_it_copies, lambda team: team.left_out[".dockerignore"].remove("!search")),
    (image_has_what_it_copies, lambda team: team.left_out[".dockerignore"].remove("*")),
    (image_has_what_it_copies, instead(("COPY", "service service"), None)),
    (image_has_what_it_copies, instead(("COPY", "service service"), ("COPY", "services service"))),
    (only_the_web_port_is_published, put("services.postgres.ports", ["5432:5432"])),
    (only_the_web_port_is_published, put("services.ray-head.ports", ["127.0.0.1:6379:6379"])),
    (only_the_web_port_is_published, put(PORTS, ["8000:8000"])),
    (only_the_web_port_is_published, put(PORTS, ["${WEB_ADDRESS:-0.0.0.0:8000}:8000"])),
    (only_the_web_port_is_published, put(PORTS, ["127.0.0.1:8000:8001"])),
    (only_the_web_port_is_published, put(PORTS, None)),
    (only_the_web_port_is_published, put("services.web.network_mode", "host")),
    (only_the_web_port_is_published, put("networks.web", {"internal": True})),
    (nobody_is_root, instead(USER, None)),
    (nobody_is_root, instead(USER, ("USER", "root"))),
    (nobody_is_root, put("services.web.user", "0:0")),
    (nobody_is_root, put("services.postgres.user", None)),
    (nobody_is_root, put("services.worker.cap_drop", None)),
    (nobody_is_root, put("services.ray-gpu.privileged", True)),
    (nobody_is_root, put("services.web.security_opt", [])),
    (nobody_is_root, add("services.web.security_opt", "seccomp:unconfined")),
    (nobody_takes_the_host, put("services.web.mem_limit", None)),
    (nobody_takes_the_host, put("services.ray-gpu.mem_limit", "${TRIAL_NODE_MEMORY:-1g}")),
    (nobody_takes_the_host, put("services.worker.mem_limit", "${WORKER_MEMORY:-1000g}")),
    (nobody_takes_the_host, put("services.postgres.pids_limit", None)),
    (nobody_takes_the_host, put("services.ray-cpu.pids_limit", -1)),
    (nobody_takes_the_host, put("services.schema.read_only", None)),
    (nobody_takes_the_host, put("services.ray-head.read_only", False)),
    (nobody_takes_the_host, put("services.postgres.tmpfs", ["/tmp"])),
    (nobody_takes_the_host, put("services.web.tmpfs", None)),
    (what_is_compiled_is_run, put("services.ray-cpu.tmpfs", ["/tmp", "/home/seqnorm:exec"])),
    (what_is_compiled_is_run, lambda team: team.dockerfile.remove(COMPILER)),
    (what_is_compiled_is_run, instead(COMPILER, ("RUN", COMPILER[1].replace("g++", "g++-doc")))),
    (everything_that_runs_on_is_checked, put("services.worker.healthcheck", None)),
    (everything_that_runs_on_is_checked, put("services.postgres.healthcheck.test", ["NONE"])),
    (everything_that_runs_on_is_checked, put("services.ray-head.profiles", ["cpu"])),
    (everything_that_runs_on_is_checked, put("services.web.healthcheck.test", ["CMD", "python", "-c", "pass"])),
    (everything_that_runs_on_is_checked, put("services.web.healthcheck.disable", True)),
    (everything_that_runs_on_is_checked, put("services.worker.healthcheck.test", ["CMD", "ray", "--version"])),
    (everything_that_runs_on_is_checked, put("services.web.depends_on", None)),
    (everything_that_runs_on_is_checked, put("services.schema.depends_on.postgres.condition", "service_started")),
    (everything_that_runs_on_is_checked, put("services.web.healthcheck.test", ["CMD", "http://127.0.0.1:8000/health"])),
    (everything_that_runs_on_is_checked, put("services.web.command", [*WEB, "--port=9000"])),
    (secrets_are_files, put("secrets.ray_token", {"environment": "RAY_TOKEN"})),
    (secrets_are_files, put("secrets.ray_token", {"file": "ray_token"})),
    (secrets_are_files, put("services.web.secrets", [])),
    (secrets_are_files, add("services.web.secrets", "database_password")),
    (secrets_are_files, put("services.web.environment.SEQNORM_DB", "postgresql://seqnorm@postgres/seqnorm")),
    (secrets_are_files, put("services.ray-head.environment.RAY_AUTH_TOKEN", "abc")),
    (secrets_are_files, put("services.postgres.environment.POSTGRES_PASSWORD", "abc")),
    (secrets_are_files, put("services.web.env_file", ".secrets")),
    (secrets_are_files, lambda team: team.environment.update(DATABASE_PASSWORD="abc")),
    (secrets_are_files, lambda team: team.dockerfile.append(("ARG", "TOKEN=abc"))),
    (secrets_are_files, lambda team: team.left_out[".gitignore"].remove("secrets/")),
    (secrets_are_files, lambda team: team.left_out[".gitignore"].remove(".env")),
    (secrets_are_files, lambda team: team.left_out[".dockerignore"].append("!secrets")),
    (secrets_are_files, lambda team: team.left_out[".dockerignore"].append("!.env")),
    (trials_do_not_reach_the_database, put("services.ray-cpu.networks", ["ray", "database"])),
    (trials_do_not_reach_the_database, put("services.ray-cpu.networks", None)),
    (trials_do_not_reach_the_database, put("services.web.networks", ["database", "web", "ray"])),
    (trials_do_not_reach_the_database, put("services.postgres.networks", ["database", "web"])),
    (trials_do_not_reach_the_database, put("networks.database", {})),
    (trials_do_not_reach_the_database, put("networks.ray", {"name": "seqnorm_database", "external": True})),
    (trials_do_not_reach_the_database, lambda team: team.untold.clear()),
    (trials_do_not_reach_the_database, put("services.ray-gpu.secrets", ["ray_token", "database_url"])),
    (trials_do_not_reach_the_database, shell(lambda scripts: scripts["worker.sh"][0].remove("--num-cpus=0"))),
    (ray_asks_for_a_token, put("services.ray-head.environment.RAY_AUTH_MODE", "disabled")),
    (ray_asks_for_a_token, put("services.worker.environment.RAY_AUTH_TOKEN_PATH", None)),
    (ray_asks_for_a_token, put("services.ray-gpu.environment", {})),
    (ray_asks_for_a_token, put("services.ray-cpu.command", ["ray", "start", "--address=ray:6379"])),
    (ray_asks_for_a_token, put("services.worker.environment.SEQNORM_RAY_ADDRESS", "ray-head:6380")),
    (variables_are_known, rename("web", "SEQNORM_DB_FILE", "SEQNORM_DATABASE_FILE")),
    (variables_are_known, rename("ray-head", "RAY_AUTH_MODE", "RAY_AUTHENTICATION")),
    (variables_are_known, rename("postgres", "POSTGRES_USER", "POSTGRES_USERNAME")),
    (variables_are_known, put("services.web.environment.SEQNORM_PORT", "web")),
    (variables_are_known, lambda team: team.dockerfile.append(("ENV", "SEQNORM_FOLDER=/data"))),
    (devices_are_profiles, put("services.ray-gpu.profiles", None)),
    (devices_are_profiles, put("services.worker.profiles", ["cpu"])),
    (devices_are_profiles, put("services.ray-gpu.deploy", None)),
    (devices_are_profiles, put("services.ray-gpu.build.args.DEVICE", "cpu")),
    (devices_are_profiles, put("services.ray-gpu.image", "seqnorm:cpu")),
    (devices_are_profiles, put("services.ray-gpu.build.args.EXTRAS", "all,tim")),
    (devices_are_profiles, put("services.schema.build.args.EXTRAS", "timm")),
    (devices_are_profiles, put(f"{GPUS}.driver", "amd")),
    (devices_are_profiles, put("services.ray-gpu.build.args.CUDA", "13")),
    (devices_are_profiles, lambda team: team.environment.clear()),
    (versions_are_pinned, put("services.postgres.image", "postgres")),
    (versions_are_pinned, put("services.postgres.image", "postgres:latest")),
    (versions_are_pinned, put("services.postgres.image", "postgres:16")),
    (versions_are_pinned, instead(PYTHON, ("FROM", "python:3.11-slim-bookworm@sha256:0"))),
    (versions_are_pinned, instead(PYTHON, ("FROM", "python:3.10.14-slim-bookworm"))),
    (what_must_last_is_on_volumes, put("services.ray-cpu.volumes", None)),
    (what_must_last_is_on_volumes, put("services.web.volumes", ["home:/data"])),
    (what_must_last_is_on_volumes, put("services.postgres.volumes", [])),
    (what_must_last_is_on_volumes, put("services.ray-head.volumes", ["/var/run/docker.sock:/sock"])),
    (what_must_last_is_on_volumes, put("services.worker.shm_size", None)),
    (what_must_last_is_on_volumes, put("services.ray-cpu.shm_size", "1gb")),
    (what_must_last_is_on_volumes, put("services.ray-cpu.command", [*NODE, "--block"])),
]


@pytest.mark.parametrize(
    ("check", "break_it"), BREAKS, ids=[f"{check.__name__}-{at}" for at, (check, _) in enumerate(BREAKS)]
)
def test_a_check_refuses_files_that_break_it(team: Team, check: Check, break_it: Callable[[Team], None]) -> None:
    broken = deepcopy(team)
    break_it(broken)
    assert list(check(broken))


def test_every_check_is_broken_once() -> None:
    assert {check for check, _ in BREAKS} == set(CHECKS)


def test_make_secrets_makes_what_the_compose_file_asks_for_and_overwrites_nothing(team: Team, tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run(["make", "-s", "-f", ROOT / "Makefile", "secrets"], cwd=tmp_path, check=True)
        folder = tmp_path / "secrets"
        contents = {path.name: path.read_text() for path in folder.iterdir()}
        assert contents.setdefault("before", contents["ray_token"]) == contents["ray_token"]
        (folder / "before").write_text(contents["before"])
    assert contents.keys() - {"before"} == team.file["secrets"].keys()
    assert folder.stat().st_mode & 0o777 == 0o700, "this host's other users see them"
    assert all((folder / name).stat().st_mode & 0o004 for name in team.file["secrets"]), "the containers' users do not"
    assert re.fullmatch("[0-9a-f]{64}", contents["ray_token"])
    assert contents["database_password"] != contents["ray_token"]
    url = urlsplit(read_settings({"SEQNORM_DB_FILE": str(folder / "database_url")}).db.reveal())
    postgres = team.constants("postgres")
    assert (url.username, url.path) == (postgres["POSTGRES_USER"], "/" + postgres["POSTGRES_DB"])
    assert (url.password, url.hostname) == (contents["database_password"], "postgres")


@pytest.mark.parametrize("file", ["README.md", "docker-compose.yml"])
def test_the_command_for_a_first_token_is_one(team: Team, file: str) -> None:
    (words,) = re.findall(r"docker compose run --rm (.*?)(?: {2}|$)", (ROOT / file).read_text(), re.M)
    service, *command = words.split()
    assert service == "web"
    broken = [word for word in command[3:] if word.startswith("--") and word not in help_of(*command[:3])]
    assert (command[:3], broken) == (["seqnorm", "token", "create"], [])


@pytest.mark.parametrize("ends", ["ray", "seqnorm", "neither"])
def test_a_worker_and_its_node_end_together_the_worker_first(tmp_path: Path, ends: str) -> None:
    for name in ("ray", "seqnorm"):
        lives = "sleep 0.5; exit 3" if name == ends else f"trap 'echo {name} ended; exit 0' TERM; sleep 30 >&2 & wait"
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\necho {name} began\n{lives}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SEQNORM_RAY_ADDRESS": "ray-head:6379"}
    with subprocess.Popen(
        [ROOT / "docker" / "worker.sh"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as script:
        assert script.stdout
        began = {script.stdout.readline() for _ in range(2)}
        if ends == "neither":
            time.sleep(0.5)
            script.terminate()
        ended = script.stdout.readlines()
        code = script.wait()
        os.killpg(script.pid, signal.SIGKILL)  # what the stand-ins have started
    assert began == {"ray began\n", "seqnorm began\n"}
    assert ended == [f"{name} ended\n" for name in ("seqnorm", "ray") if name != ends]
    assert ends == "neither" or code == 3, "the container starts anew"
