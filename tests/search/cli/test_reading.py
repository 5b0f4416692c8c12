"""``list``, ``show``, ``plan`` and ``export``, in this process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from search.cli.backends import Filters
from search.cli.reading import COLUMNS, export_table, list_searches, print_plan, show_search
from search.settings import Settings
from search.views import SearchRow
from search.vocabulary.errors import InvalidSpec, NotFound
from search.vocabulary.states import Status
from tests.search.stored import PLANTED, finished_search, prepare, submit
from trainers.commands.command import Command, CommandNumber

SMALL = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


def test_a_list_has_a_line_for_each_search_newest_first(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # fewer than a line needs
    done, queued = finished_search(settings.database_url, **SMALL), submit(settings.database_url, name="mine")
    list_searches(settings, 50, {}, False, "seqnorm")
    _, *lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line[:5] for line in lines[-2:]] == [
        [queued, "queued", "planted", "sequential", "0/36"],
        [done, "done", "planted", "sequential", "10/10"],
    ]
    assert lines[-2][-1] == "mine"
    assert lines[-1][5:7] == ["gm=8,", "gc=4"]


@pytest.mark.parametrize("name", ["[/b] of [red]mine", "a name of more than forty characters, in one line"])
def test_a_list_shows_a_name_as_it_is(
    name: str, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    submit(settings.database_url, name=name)
    list_searches(settings, 50, {}, False, "seqnorm")
    assert capsys.readouterr().out.splitlines()[-1].rstrip().endswith(f"  {name}")


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_in_a_terminal_ids_are_whole_and_names_are_wrapped_by_words(
    columns: int, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("TTY_COMPATIBLE", "1"), ("TERM", "xterm"), ("NO_COLOR", "1"), ("COLUMNS", str(columns))):
        monkeypatch.setenv(variable, value)
    words = ["measured", "once", "more", "with", "seventeen", "epochs", "and", "a", "longer", "warmup"]
    found = [
        finished_search(settings.database_url, **SMALL),
        submit(settings.database_url, name=" ".join(words)),
        submit(settings.database_url, name="x" * 70),
    ]
    list_searches(settings, 50, {}, False, "seqnorm")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["search", *found[::-1]]
    shown = [word for line in lines for word in line.split()]
    assert [word for word in shown if word in words] == words
    assert "".join(word for word in shown if not word.strip("x")) == "x" * 70
    assert max(map(len, lines)) <= max(columns, 42)


def test_each_cell_of_a_list_is_written_once_however_narrow_the_terminal(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write(row: SearchRow) -> str:
        written.append(row.search)
        return row.search

    for variable, value in (("TTY_COMPATIBLE", "1"), ("TERM", "xterm"), ("COLUMNS", "30")):
        monkeypatch.setenv(variable, value)
    monkeypatch.setitem(COLUMNS, "search", write)
    found = [submit(settings.database_url) for _ in range(2)]
    list_searches(settings, 50, {}, False, "seqnorm")
    assert written == found[::-1]


def test_a_list_takes_the_filters_of_the_api(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    mine = submit(settings.database_url, name="b of mine", tags=["night"], owner="ada")
    other = submit(settings.database_url, name="a", recipe="planted-loss")

    def listed(**filters: Any) -> list[str]:
        list_searches(settings, 50, Filters(**filters), True, "seqnorm")
        return [row["search"] for row in json.loads(capsys.readouterr().out)]

    for filters in ({"name": "mine"}, {"tag": "night"}, {"owner": "ada"}, {"recipe": "planted"}, {"id": mine[:8]}):
        assert listed(**filters) == [mine], filters
    assert listed() == listed(sort="name") == listed(sort="created")[::-1] == [other, mine]
    assert listed(archived=True) == listed(status=Status.DONE) == []


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"status": Status.DONE}, "No search is done."),
        ({"status": None, "tag": "day", "owner": "ada"}, "No search has tag day, owner ada."),
        ({"recipe": "plantd"}, "No search has recipe plantd. Did you mean planted or planted-loss?"),
        ({"archived": True}, "No search is archived."),
        ({}, "No searches yet. Start one with: seqnorm tune digits-mlp --gm 1,2,4,8 --gc 1,2"),
    ],
)
def test_an_empty_list_says_what_was_looked_for(
    filters: Filters, said: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings.database_url)
    list_searches(settings, 50, filters, False, "seqnorm")
    assert capsys.readouterr().out == f"{said}\n"


def test_a_list_is_filtered_cut_and_printed_as_json(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [submit(settings.database_url) for _ in range(3)]
    list_searches(settings, 2, {"status": Status.QUEUED}, True, "seqnorm")
    list_searches(settings, 2, {"status": Status.DONE}, True, "seqnorm")
    first, second = capsys.readouterr().out.splitlines()
    assert [row["search"] for row in json.loads(first)] == ids[:0:-1]
    assert json.loads(second) == []


def test_a_search_is_shown_and_an_unknown_one_named(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    search_id = submit(settings.database_url)
    show_search(settings, search_id, False, "seqnorm")
    assert capsys.readouterr().out.startswith(f"Search {search_id} · planted · sequential · queued\n")
    with pytest.raises(NotFound, match="no search has the id 'nowhere'"):
        show_search(settings, "nowhere", False, "seqnorm")


def test_a_plan_is_printed_with_what_is_refused(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(settings, {**PLANTED, "gm": [1, 2, 3]}, False)
    printed = capsys.readouterr().out
    assert printed.startswith("stage gm          9 trials\nstage gc          9 trials\n")
    assert "30 trials at most; grid would take " in printed
    assert "gm=3 is refused: gm must divide the batch" in printed
    assert not settings.home.exists()


def test_a_plan_of_a_program_says_what_is_not_checked_nor_measured(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    unchecked = "gm is not checked, as the batch is unknown: give --batch N."
    repeated = "Stage test measures what the others do with fresh seeds: nothing reads the split."
    fields = {"recipe": "true", "gm": [1, 3], "gc": [1], "seeds": 1, "test_seeds": 1}
    print_plan(settings, fields, False, Command(words=("/bin/true",), folder="/"))
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["stage gm          2 trials", "stage gc          1 trial"]
    assert said[-3:] == ["6 trials at most; grid would take 4.", unchecked, repeated]
    batch = CommandNumber(name="batch", default=8)
    print_plan(settings, fields, False, Command(words=("/bin/true",), folder="/", reads_split=True, numbers=(batch,)))
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("gm=3 is refused: gm must divide the batch: got gm=3 for 8 samples.")
    assert unchecked not in said


@pytest.mark.parametrize("name", ["new.json", "old.json"])
def test_an_export_is_written_whole_in_place_of_what_was_there(settings: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / "old.json").write_text("precious")
    export_table(settings, finished_search(settings.database_url, **SMALL), "json", tmp_path / name)
    assert len(json.loads((tmp_path / name).read_text())) == 10
    assert not list(tmp_path.glob("*.part"))


def test_an_export_that_fails_leaves_what_was_there(settings: Settings, tmp_path: Path) -> None:
    prepare(settings.database_url)
    (tmp_path / "old.json").write_text("precious")
    with pytest.raises(NotFound):
        export_table(settings, "nowhere", "json", tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == "precious"
    with pytest.raises(InvalidSpec, match="-o must name a file that can be written: got "):
        export_table(settings, "nowhere", "json", tmp_path / "no folder" / "a.json")
    assert not list(tmp_path.glob("*.part"))


def test_an_export_follows_no_link_that_another_user_has_laid_out(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a.json.part").symlink_to(tmp_path / "precious")
    export_table(settings, finished_search(settings.database_url, **SMALL), "json", tmp_path / "a.json")
    assert (tmp_path / "precious").read_text() == "precious"
    assert len(json.loads((tmp_path / "a.json").read_text())) == 10
