"""Writes a command as the file that makes a recipe of it, for the operator of a service."""

from __future__ import annotations

import json
import shlex
from typing import Any

from search.cli.own_command import STANDARD
from trainers.commands.command import Command


def write_recipe(command: Command) -> str:
    """Return a command as the text of ``HOME/recipes/NAME.toml``."""
    fields: dict[str, Any] = {
        "command": shlex.join(command.words),
        "folder": command.folder,
        "metric": command.metric,
        "mode": command.mode,
        "test_metric": command.test_metric,
        "metric_file": command.metric_file,
        "pattern": command.pattern,
        "files": list(command.files),
        "variables": list(command.variables),
        "reads_split": command.reads_split,
        **{number.name: number.default for number in command.numbers if number.name in STANDARD},
    }
    lines = [f"{name} = {_write(value)}" for name, value in fields.items() if value not in (None, [], False)]
    for number in command.numbers:
        if number.name not in STANDARD:
            lines += ["", f"[numbers.{number.name}]", f"default = {_write(number.default)}"]
            lines += [f"choices = [{_write(number.default)}]"] if isinstance(number.default, str) else []
    return "\n".join(lines)


def _write(value: Any) -> str:
    """Return a value as TOML writes it: as JSON does, but for a character that TOML must escape."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
