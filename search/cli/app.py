"""The program with all its commands: importing a module of commands adds them, in the order of the help."""

from __future__ import annotations

from search.cli import search_commands, recipe_commands, storage_commands, service_commands  # isort: skip
from search.cli.root import app, program

__all__ = ["app", "program", "recipe_commands", "search_commands", "service_commands", "storage_commands"]
