"""Every command that a message tells people to run works there: each is collected from the source, and run."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from search.cli import recipe_commands, search_commands
from search.cli.advice import localize
from search.cli.app import app
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import leases, transitions
from search.store.database import open_engine
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause, Status
from tests.search.program import run
from tests.search.stored import open_recorder, prepare, submit
from tests.test_documents import ROOT

COMMANDS = "|".join(get_command(app).commands)  # type: ignore[attr-defined]
WORD = r"ID|[A-Z]{2,}|--?[a-z-]+|[0-9,]+|create|list|revoke|backup|upgrade|admin|digits-mlp"
ADVICE = re.compile(rf"(?:(?<![\w`/.-])|(?<=`))(?:seqnorm|PROGRAM) ((?:{COMMANDS})\b(?: (?:{WORD})(?![\w-]))*)")


def read_texts(file: Path) -> Iterator[str]:
    """Yield the texts of a module, but for its documentation; what is filled in is a word in capitals."""
    if file.suffix == ".html":
        yield re.sub(r"\{\{(.*?)\}\}", lambda found: name_of(found[1]), file.read_text())
        return
    tree = ast.parse(file.read_text())
    examples = {node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and is_example(node)}
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    parts |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)} | examples
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(map(read_part, node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.value


def is_example(assigned: ast.Assign) -> bool:
    """Whether a text is the examples of a command's help, which are no advice for a situation."""
    return all(isinstance(target, ast.Name) and target.id.endswith("EXAMPLES") for target in assigned.targets)


def read_part(part: ast.expr) -> str:
    """Return a part of a message, or a name of what is filled in."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    filled_in = ast.unparse(part)
    if "program" in filled_in:
        return "PROGRAM"
    return name_of(filled_in)


def name_of(filled_in: str) -> str:
    """Return a word for an expression in a message."""
    return "ID" if re.search(r"\bid\b|search", filled_in) else "NAME"


def collect() -> set[str]:
    """Return the commands that messages name."""
    files = [file for package in ("search", "service", "trainers") for file in (ROOT / package).rglob("*")]
    texts = (
        text
        for file in files
        if file.suffix in (".py", ".html") and file.name != "wording.py"  # which has patterns of messages
        for text in read_texts(file)
    )
    return {command for text in texts for command in ADVICE.findall(text)}


def write_with_status(url: str, status: Status, failed: bool = False) -> str:
    """Store a search that has a status, and a failed trial if asked."""
    search_id = submit(url)
    recorder = open_recorder(url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    if failed:
        trial = recorder.start(Replicate("gm", Point("main", 1, 0), 0))
        recorder.finish(trial, Outcome(cause=Cause.CRASH_LOOP, detail="its process died"))
    with recorder.engine.begin() as connection:
        transitions.set_status(connection, search_id, status, "a reason")
        leases.release(connection, leases.Lease(search_id, 1))
    recorder.close()
    return search_id


def queued(url: str) -> str:
    return submit(url)


def cancelled(url: str) -> str:
    return write_with_status(url, Status.CANCELLED)


def failed_early(url: str) -> str:
    return write_with_status(url, Status.FAILED)


def paused(url: str) -> str:
    return write_with_status(url, Status.PAUSED)


def with_a_failed_trial(url: str) -> str:
    return write_with_status(url, Status.FAILED, failed=True)


def done(url: str) -> str:
    return write_with_status(url, Status.DONE)


def nothing(url: str) -> str:
    prepare(url)
    return ""


SITUATIONS: dict[str, Callable[[str], str]] = {  # in which a command is advised
    "cancel ID": queued,
    "db upgrade": nothing,
    "list": nothing,
    "pause ID": queued,
    "recipes": nothing,
    "recipes NAME": nothing,
    "resume ID": failed_early,
    "resume ID --accept-code-change": paused,
    "retry ID": with_a_failed_trial,
    "show ID": cancelled,
    "token create NAME --owner OWNER": nothing,
    "token create NAME --owner OWNER --scopes admin": nothing,
    "token list": nothing,
    "watch ID": done,
}
FINISH = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("UPDATE searches SET status = 'done'")
database.commit()
"""
STARTED = {
    "init NAME",
    "logs ID NAME",
    "token",
    "serve",
    "submit -f FILE",
    "tune digits-mlp --gm 1,2,4,8 --gc 1,2",
    "tune NAME --gm 1,2,4 --gc 1,2",
    "worker",
}  # elsewhere in these tests


def test_every_command_that_a_message_names_is_tried_here() -> None:
    assert {line for line in collect() if line not in STARTED} == set(SITUATIONS)


@pytest.mark.parametrize(
    "line",
    re.findall(
        "^  seqnorm (.*)$",
        f"{search_commands.EXAMPLES}\n{search_commands.LIST_EXAMPLES}\n{recipe_commands.CHECK_EXAMPLES}",
        re.MULTILINE,
    ),
)
def test_an_example_in_a_help_is_a_command(line: str) -> None:
    name, *words = line.split()
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    while words and words[0] in getattr(command, "commands", ()):
        name, *words = words
        command = command.commands[name]
    assert command.make_context(name, words).params


@pytest.mark.parametrize("line", SITUATIONS)
def test_advice_is_followed_as_it_is_printed(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    url = f"sqlite:///{home / 'seqnorm.db'}"
    search_id = SITUATIONS[line](url)
    driver = tmp_path / "driver"  # what a worker starts: it finishes the search
    (tmp_path / "finish.py").write_text(FINISH)
    driver.write_text(f"#!/bin/sh\n{sys.executable} {tmp_path / 'finish.py'} {home / 'seqnorm.db'}\n")
    driver.chmod(0o755)
    printed = localize(f"Do it with: seqnorm {line}", f"seqnorm --home {home}").partition(": seqnorm ")[2]
    words = [{"ID": search_id, "NAME": "mnist-simplenet"}.get(word, word) for word in printed.split()]
    with monkeypatch.context() as patch:
        if line.startswith("resume"):
            patch.setattr(sys, "executable", str(driver))
        ended = run(*words)
    assert (ended.returncode, "error" in ended.stderr) == (0, False), ended


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Go on with: seqnorm resume abc", "Go on with: P resume abc"),
        ("Is `seqnorm serve` running? seqnorm list shows them", "Is `P serve` running? P list shows them"),
        ("an answer of a seqnorm service; upgrade seqnorm on this machine", None),
        ("/opt/seqnorm list, my-seqnorm show, --home seqnorm resumed", None),
    ],
)
def test_what_is_advised_leads_to_the_same_database(text: str, printed: str | None) -> None:
    assert localize(text, "P") == (printed or text)


def test_where_a_reason_names_a_command_it_is_printed_with_its_options(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'seqnorm.db'}"
    search_id = write_with_status(url, Status.PAUSED)
    with open_engine(url).begin() as connection:
        change = f"accept the change with: seqnorm resume {search_id} --accept-code-change"
        transitions.set_status(connection, search_id, Status.PAUSED, change)
    said = run("--home", str(tmp_path), "watch", search_id).stderr
    assert said.endswith(f"seqnorm --home {tmp_path} resume {search_id} --accept-code-change\n")
