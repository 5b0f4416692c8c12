"""The files that start the service for a team, parsed."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
IMAGE_PROGRAMS = "/usr/local/bin/"  # where the Dockerfile puts scripts of ours

Service = dict[str, Any]


@dataclass
class Team:
    """The compose file with what it refers to."""

    file: dict[str, Any]
    dockerfile: list[tuple[str, str]]  #: instructions and the rest of their lines
    scripts: dict[str, list[list[str]]]  #: by the name of a program of ours, the commands in it that start parts
    untold: dict[str, list[str]]  #: by the name of a program of ours, the variables that a part of it is not told
    environment: dict[str, str]  #: .env.example, which is copied to .env
    proposed: list[str]  #: the variables that .env.example names in comments
    left_out: dict[str, list[str]]  #: by .gitignore and .dockerignore

    @property
    def services(self) -> dict[str, Service]:
        """Every service by name."""
        return dict(self.file["services"])

    @property
    def ours(self) -> dict[str, Service]:
        """The services that run an image of ours."""
        return {name: service for name, service in self.services.items() if service["image"].startswith("seqnorm:")}

    def commands(self, name: str) -> list[list[str]]:
        """Return what a service starts, a script's commands in its place."""
        command = self.services[name].get("command")
        if command is None:
            return []
        return self.scripts.get(command[0], [command])

    def probe(self, name: str) -> list[str]:
        """Return the words of a service's health check."""
        test = self.services[name].get("healthcheck", {}).get("test", [])
        return list(test[1:]) if test[:1] == ["CMD"] else []

    def option(self, name: str, flag: str) -> str | None:
        """Return what a service gives for an option, if it does."""
        words = [word for command in self.commands(name) for word in command]
        return next((word.partition("=")[2] for word in words if word.startswith(f"{flag}=")), None)

    def variables(self) -> dict[str, bool]:
        """Return the variables of ``.env`` that the compose file reads, and whether it needs no value of them."""
        found = re.findall(r"\$\{(\w+):([-?])", json.dumps(self.file))
        return {name: operator == "-" for name, operator in found}

    def constants(self, name: str) -> dict[str, str]:
        """Return the variables of a service as they are by default, those of its image too."""
        image = dict(shlex.split(rest)[0].split("=", 1) for word, rest in self.dockerfile if word == "ENV")
        own = {key: by_default(value) for key, value in self.services[name].get("environment", {}).items()}
        return (image if name in self.ours else {}) | own


def by_default(value: Any) -> str:
    """Return a value of the compose file as it is where ``.env`` and the environment say nothing; empty if required."""
    return re.sub(r"\$\{\w+:\?[^}]*\}", "", re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)))


def read_team() -> Team:
    """Read the files."""
    scripts = {path.name: path.read_text() for path in (ROOT / "docker").iterdir()}
    example = (ROOT / ".env.example").read_text()
    return Team(
        file=json.loads(json.dumps(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))),  # nothing is shared
        dockerfile=_instructions((ROOT / "Dockerfile").read_text()),
        scripts={name: _started(text) for name, text in scripts.items()},
        untold={name: re.findall(r"^env -u (\w+) ray ", text, re.M) for name, text in scripts.items()},
        environment=dict(line.split("=", 1) for line in _lines(example)),
        proposed=re.findall(r"^# ([A-Z_]+)=", example, re.M),
        left_out={name: _lines((ROOT / name).read_text()) for name in (".gitignore", ".dockerignore")},
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = _lines(text.replace("\\\n", " "))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def _started(script: str) -> list[list[str]]:
    """Return the commands that a script starts beside itself."""
    return [shlex.split(line) for line in re.findall(r"^(?:env -u \w+ )?((?:ray|seqnorm) .*?)\s*&$", script, re.M)]
