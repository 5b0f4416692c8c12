"""Options and names that every command shares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.main import get_command

from search.cli.app import app
from search.cli.program import takes_json
from tests.search.program import SEQNORM, run, seqnorm
from tests.search.stored import submit


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def search_id(home: Path) -> str:
    return submit(f"sqlite:///{home / 'seqnorm.db'}")


def test_global_options_stand_before_and_after_the_command(home: Path, search_id: str) -> None:
    database = f"sqlite:///{home / 'seqnorm.db'}"
    for words in (
        ["--home", str(home), "--json", "list"],
        ["list", f"--home={home}", "--json"],
        ["list", "--db", database, "--json"],
        ["--json", "list", "--db", database],
        ["--json", "show", search_id, "--home", str(home)],
    ):
        assert f'"search":"{search_id}"' in run(*words).stdout, words
    for words in (["db", "upgrade", "--home", str(home)], ["db", "--home", str(home), "upgrade"]):
        assert run(*words).stdout.startswith(f"{database} has schema ")
        assert json.loads(run("--json", *words).stdout)["database"] == database
    assert json.loads(run("db", "--json", "upgrade", "--home", str(home)).stdout)["database"] == database
    for words in (["--json", "token", "list"], ["token", "--json", "list"], ["token", "list", "--json"]):
        assert json.loads(run(*words, "--home", str(home)).stdout) == []


def test_of_an_option_given_twice_the_later_counts(home: Path, search_id: str, tmp_path: Path) -> None:
    assert search_id in run("--home", str(tmp_path / "other"), "list", "--home", str(home)).stdout
    assert search_id in run("list", "--home", str(tmp_path / "other"), "--home", str(home)).stdout
    both = run("--url", "http://127.0.0.1:1", "list", "--db", "sqlite:///x.db")
    assert both.stderr == "error: a command takes either --url or --db: got both. Leave out one of them.\n"


def test_every_command_that_takes_the_id_of_a_search_takes_last_and_the_start_of_one(home: Path) -> None:
    run("db", "upgrade", "--home", str(home))
    commands = get_command(app).commands.items()
    taking = [name for name, command in commands if any(option.name == "id" for option in command.params)]
    assert {"show", "logs", "resume", "cancel", "export"} <= {*taking}
    for name in taking:
        refused = seqnorm(home, name, "last", expect=2).stderr
        assert refused == (
            "error: `last` needs a search: there is none yet. "
            f"Start one with: {SEQNORM} --home {home} tune digits-mlp --gm 1,2,4,8 --gc 1,2\n"
        ), name


def test_what_changes_a_search_of_a_service_takes_no_last_as_that_may_be_a_colleagues() -> None:
    for name in ("resume", "pause", "cancel", "retry", "widen"):
        refused = run("--url", "http://127.0.0.1:1", name, "last")
        assert (refused.returncode, refused.stderr.replace(SEQNORM, "seqnorm")) == (
            2,
            f"error: at a service, {name} needs the id of a search: got last, which may be somebody else's. "
            "List them with: seqnorm --url http://127.0.0.1:1 list\n",
        )
    assert "the service must answer" in run("--url", "http://127.0.0.1:1", "show", "last").stderr


def test_hints_repeat_a_place_that_was_named_after_the_command(home: Path, search_id: str) -> None:
    refused = run("show", "nowhere", "--home", str(home)).stderr
    assert refused.endswith(f"seqnorm --home {home} list\n")


def test_json_is_refused_where_a_command_has_none(home: Path) -> None:
    assert seqnorm(home, "--json", "worker", expect=2).stderr == (
        "error: --json must be given to a command that prints data: got it for worker. Leave it out.\n"
    )


def test_every_command_that_prints_data_takes_json() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert {name for name in commands if not takes_json(get_command(app), name)} == {"worker", "serve", "token"}


def test_an_export_as_json_is_that_of_its_format(home: Path, search_id: str) -> None:
    for words in (["--json", "export", search_id], ["export", search_id, "--json"]):
        assert seqnorm(home, *words).stdout == seqnorm(home, "export", search_id, "--format", "json").stdout
    assert seqnorm(home, "export", search_id, "--json", "--format", "csv", expect=2).stderr == (
        "error: export writes one format: got --json and --format csv. Leave out one of them.\n"
    )
    assert seqnorm(home, "--json", "logs", search_id).stdout == ""


def test_the_version_is_printed(home: Path) -> None:
    from importlib.metadata import version

    assert run("--version").stdout == f"seqnorm {version('seqnorm')}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tunee"], "error: no command is named 'tunee'. Did you mean tune? List them with: seqnorm --help"),
        (["gc"], "error: no command is named 'gc'. Did you mean gc-files? List them with: seqnorm --help"),
        (["stop", "x"], "error: no command is named 'stop'. Did you mean pause? List them with: seqnorm --help"),
        (["ls", "-x"], "error: no command is named 'ls'. Did you mean list? List them with: seqnorm --help"),
        (["xyz"], "error: no command is named 'xyz'. List them with: seqnorm --help"),
        (
            ["db", "upgrad"],
            "error: no command is named 'upgrad'. Did you mean upgrade? List them with: seqnorm db --help",
        ),
        (
            ["list", "--status", "canceled"],
            "error: --status must be one of queued, running, paused, done, failed, cancelled: got 'canceled'. "
            "Leave it out for all. Did you mean cancelled?",
        ),
        (
            ["list", "--sort", "names"],
            "error: --sort must be one of -created, created, name, -name: got 'names'. Leave it out for -created. "
            "Did you mean name or -name?",
        ),
        (
            ["tune", "search.yaml"],
            "error: RECIPE must be the name of a recipe: got search.yaml. Give a file with -f search.yaml.",
        ),
    ],
)
def test_near_misses_are_named(words: list[str], said: str, home: Path) -> None:
    refused = run("--home", str(home), *words)
    assert (refused.returncode, refused.stderr.strip().replace(f"{SEQNORM} --home {home}", "seqnorm")) == (2, said)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["tune", "planted", "--gcc", "1"], "--gc"),
        (["list", "--stauts", "done"], "--status"),
        (["--hom", "x", "list"], "--home"),
        (["list", "--ulr", "x"], "--url"),
    ],
)
def test_flags_that_are_near_are_named(words: list[str], meant: str) -> None:
    refused = run(*words)
    assert refused.returncode == 2
    suggested = " ".join(refused.stderr.split()).partition("(Possible options: ")[2]
    assert meant in suggested.partition(")")[0].split(", ")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("seqnorm re", ["resume", "retry", "recipes"]),
        ("seqnorm tune digits", ["digits-mlp"]),
        ("seqnorm tune planted --strategy s", ["sequential"]),
        ("seqnorm list --status p", ["paused"]),
        ("seqnorm list --ho", ["--home"]),
        ("seqnorm db up", ["upgrade"]),
    ],
)
def test_a_shell_completes_words(line: str, offered: list[str]) -> None:
    words = line.split(" ")
    done = run(_SEQNORM_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    assert done.stdout.split() == offered


def test_a_shell_completes_ids_of_the_home_that_was_named(home: Path, search_id: str) -> None:
    line = f"seqnorm show --home {home} {search_id[:1]}"
    done = run(_SEQNORM_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD="4")
    assert done.stdout.split() == [search_id]
    nowhere = f"seqnorm show --home {home / 'nowhere'} {search_id[:1]}"
    done = run(_SEQNORM_COMPLETE="complete_bash", COMP_WORDS=nowhere, COMP_CWORD="4")
    assert (done.stdout.strip(), done.stderr, (home / "nowhere").exists()) == ("", "", False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str) -> None:
    script = run(_SEQNORM_COMPLETE=f"source_{shell}").stdout
    assert f"_SEQNORM_COMPLETE=complete_{shell}" in script
