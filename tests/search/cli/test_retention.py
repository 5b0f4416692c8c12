"""``gc-files``: how it says what may go. What may go is in tests/search/actions/test_retention.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from search.cli.retention import gc_files
from search.settings import Settings
from tests.search.stored import prepare


@pytest.fixture
def strange(settings: Settings) -> Path:
    """A folder of 2.5 MB that belongs to no search."""
    prepare(settings.database_url)
    folder = settings.search_folder("strange")
    folder.mkdir(parents=True)
    (folder / "driver.log").write_bytes(b"x" * 2_500_000)
    return folder


def test_what_may_go_is_listed_and_stays(settings: Settings, strange: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gc_files(settings, 30, unknown=True, yes=False, json=False)
    printed = capsys.readouterr()
    assert printed.out == "strange      2.5 MB  unknown to this database\n"
    assert printed.err == "2.5 MB of 1 searches can be removed; nothing was removed yet. Remove it with --yes.\n"
    assert strange.exists()


def test_what_was_removed_is_said_as_json(
    settings: Settings, strange: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gc_files(settings, 30, unknown=True, yes=True, json=True)
    assert json.loads(capsys.readouterr().out) == {
        "removed": True,
        "bytes": 2_500_000,
        "searches": [
            {
                "search_id": "strange",
                "why": "unknown to this database",
                "paths": [str(strange)],
                "bytes": 2_500_000,
            }
        ],
        "faults": [],
    }
    assert not strange.exists()


def test_nothing_that_may_go_is_said(settings: Settings, strange: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gc_files(settings, 30, unknown=False, yes=False, json=False)
    assert capsys.readouterr() == ("", "Nothing to remove.\n")


def test_what_cannot_be_removed_is_named_and_the_exit_code_says_so(
    settings: Settings, strange: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("search.actions.retention.shutil.rmtree", refuse)  # root may remove anything
    with pytest.raises(typer.Exit) as left:
        gc_files(settings, 30, unknown=True, yes=True, json=False)
    assert left.value.exit_code == 1
    printed = capsys.readouterr().err
    assert "Nothing was removed." in printed
    assert f"error: strange: {strange} could not be removed (Permission denied)." in printed
