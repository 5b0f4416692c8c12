"""What a terminal is sent: names and reasons as text, whoever wrote them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from search.cli import output
from search.cli.output import TextConsole, print_stderr, print_table
from search.cli.reading import print_plan
from search.cli.recipes import list_recipes
from search.cli.tables import print_result
from search.settings import Settings
from search.views import CandidateView, PlanView, RecipeView, RefusedValue, SearchView, StageView
from tests.search.examples import example

MARKUP = "[bold]loud[/bold] [link=https://evil.example]x[/link] [/b]"
WORDS = {  # with what is read on the terminal
    MARKUP: MARKUP,
    "\x1b[31mred\x1b]0;title\x1b\\": r"\x1b[31mred\x1b]0;title\x1b\\"[:-1],
    "\x9b2J\x7f\x00": r"\x9b2J\x7f\x00",
    "\u202edesrever": r"\u202edesrever",
    ":warning: 50% {0} %s": ":warning: 50% {0} %s",
}


@pytest.fixture(params=WORDS)
def words(request: pytest.FixtureRequest) -> str:
    """What somebody wrote."""
    return str(request.param)


def test_a_table_shows_words_as_they_are(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=words)
    table.add_column(words)
    table.add_row(words)
    print_table(table)
    assert capsys.readouterr().out.count(WORDS[words]) == 3


def test_a_line_of_stderr_shows_words_as_they_are(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_stderr(f"The search is failed: {words}")
    assert capsys.readouterr().err == f"The search is failed: {WORDS[words]}\n"


def test_on_a_terminal_our_own_styles_are_left(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = TextConsole(width=200)
    console.file = io.StringIO()
    console.print(words, style="bold")
    assert console.file.getvalue() == f"\x1b[1m{WORDS[words]}\x1b[0m\n"


class Foreign:
    """A service whose recipes and refusals are anybody's words."""

    def __init__(self, words: str) -> None:
        self._words = words

    def recipes(self) -> tuple[list[RecipeView], dict[str, str]]:
        """Return one recipe."""
        texts: dict[str, Any] = {"name": self._words, "title": self._words, "data": self._words}
        return [example(RecipeView, **texts, presets={self._words: {"rate": self._words}})], {}

    def plan(self, fields: object, command: object) -> PlanView:
        """Refuse a group count."""
        return example(PlanView, refused=(RefusedValue(value="gm=3", reason=self._words),))


def test_recipes_refusals_and_results_are_printed_as_they_are(
    words: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("reading", "recipes"):
        monkeypatch.setattr(f"search.cli.{module}.make_backend", lambda _: Foreign(words))
    list_recipes(settings, words, False)
    assert capsys.readouterr().out.count(WORDS[words]) == 5
    print_plan(settings, {}, False)
    assert f"gm=3 is refused: {WORDS[words]}\n" in capsys.readouterr().out
    stage = example(StageView, candidates=[example(CandidateView)], sentence=words)
    print_result(example(SearchView, recipe=words, stages=[stage]), False, settings, "seqnorm")
    assert capsys.readouterr().out.count(WORDS[words]) == 2


def test_every_command_prints_to_such_a_console() -> None:
    folder = Path(output.__file__).parent
    assert [file.name for file in folder.rglob("*.py") if "rich.console" in file.read_text()] == ["output.py"]
