"""Advice of every command is localized."""

from __future__ import annotations

from typer.main import get_command

from search.cli.advice import localize
from search.cli.app import app


def test_advice_of_every_command_leads_to_the_same_database() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert {"grid", "landscape", "gc-files"} <= {*commands}
    for name in commands:
        assert localize(f"Go on with: seqnorm {name} ID", "P") == f"Go on with: P {name} ID"
