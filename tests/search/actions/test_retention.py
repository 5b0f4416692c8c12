"""What ``gc-files`` removes, and what it never touches."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import update

from search.actions.retention import DAY_SECONDS, find_unneeded_files
from search.settings import Settings
from search.store import searches, transitions
from search.store.database import now, open_engine
from search.store.tables import searches as rows
from search.vocabulary.states import Status
from tests.search.program import seqnorm, seqnorm_json
from tests.search.stored import open_recorder, submit, train

SMALL = {"gm": [1, 8], "gc": [1, 4], "seeds": 2, "test_seeds": 2}


def ended(settings: Settings, days: float, status: Status = Status.DONE) -> str:
    """Run a search that ended so many days ago, with a checkpoint of each measured trial and logs on disk."""
    search_id = submit(settings.database_url, **SMALL)
    recorder = open_recorder(settings.database_url, search_id)
    train(recorder, search_id)
    folder = settings.search_folder(search_id)
    for replicate in recorder._stages["test"]._ended:
        write(folder / "checkpoints" / replicate.key / "checkpoint.pt", 1000)
        write(folder / "logs" / f"{replicate.key}.log", 10)
    recorder.close()
    write(folder / "driver.log", 10)
    engine = open_engine(settings.database_url)
    with engine.begin() as connection:
        transitions.set_status(connection, search_id, status, "")
        connection.execute(update(rows).where(rows.c.id == search_id).values(finished_at=now() - days * DAY_SECONDS))
    return search_id


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def files(settings: Settings, search_id: str) -> set[str]:
    folder = settings.search_folder(search_id)
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def chosen_files(settings: Settings, search_id: str) -> set[str]:
    engine = open_engine(settings.database_url)
    with engine.connect() as connection:
        point = searches.choices(connection, search_id)["gc"].point
    return {
        f"checkpoints/test-{point.variant}-gm{point.gm}-gc{point.gc}-seed{seed}/checkpoint.pt" for seed in (1000, 1001)
    }


def test_what_ended_long_ago_goes_but_the_weights_of_the_chosen_point(settings: Settings) -> None:
    old, recent = ended(settings, 31), ended(settings, 29)
    before = files(settings, recent)
    kept = chosen_files(settings, old)
    assert kept < files(settings, old)
    listed = seqnorm_json(settings.home, "gc-files")
    assert [each["search_id"] for each in listed["searches"]] == [old]
    assert kept < files(settings, old), "a list removed something"
    removed = seqnorm_json(settings.home, "gc-files", "--yes")
    assert removed == {**listed, "removed": True}
    assert files(settings, old) == kept
    assert files(settings, recent) == before
    assert seqnorm_json(settings.home, "gc-files", "--yes")["searches"] == []


def test_it_says_how_much_may_go_and_how(settings: Settings) -> None:
    search_id = ended(settings, 31)
    done = seqnorm(settings.home, "gc-files")
    assert done.stdout.split()[:3] == [search_id, "0.0", "MB"]
    assert "nothing was removed yet. Remove it with --yes." in done.stderr
    assert seqnorm(settings.home, "gc-files", "--older-than", "40").stderr.strip() == "Nothing to remove."


@pytest.mark.parametrize("status", ["queued", "running", "paused"])
def test_the_files_of_a_search_that_may_go_on_stay(settings: Settings, status: str) -> None:
    search_id = ended(settings, 31)
    engine = open_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(update(rows).where(rows.c.id == search_id).values(status=status))
    assert list(find_unneeded_files(settings, engine, 30, unknown=True)) == []


def test_the_files_of_a_search_that_is_run_again_meanwhile_stay(settings: Settings) -> None:
    ids = sorted(ended(settings, 31) for _ in range(2))
    engine = open_engine(settings.database_url)
    unneeded = find_unneeded_files(settings, engine, 30, unknown=False)
    assert next(unneeded).search_id == ids[0]
    with engine.begin() as connection:
        transitions.set_status(connection, ids[1], Status.QUEUED, "")
    assert list(unneeded) == []


def test_what_a_child_may_still_take_over_stays(settings: Settings) -> None:
    parent, child = ended(settings, 31), ended(settings, 0)
    engine = open_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(update(rows).where(rows.c.id == child).values(parent=parent, status="paused"))
    assert list(find_unneeded_files(settings, engine, 30, unknown=False)) == []
    with engine.begin() as connection:
        connection.execute(update(rows).where(rows.c.id == child).values(status="done"))
    assert [each.search_id for each in find_unneeded_files(settings, engine, 30, unknown=False)] == [parent]


def test_folders_of_nobody_go_only_when_that_is_asked_for(settings: Settings) -> None:
    known = ended(settings, 1)
    write(settings.search_folder("strange") / "logs" / "a.log", 5)
    assert seqnorm_json(settings.home, "gc-files", "--older-than", "0.5", "--yes")["searches"][0]["search_id"] == known
    assert files(settings, "strange")
    found = seqnorm_json(settings.home, "gc-files", "--unknown", "--yes")
    assert [(each["search_id"], each["bytes"]) for each in found["searches"]] == [("strange", 5)]
    assert not settings.search_folder("strange").exists()


def test_links_lead_nowhere_and_shared_weights_count_for_nothing(settings: Settings, tmp_path: Path) -> None:
    search_id = ended(settings, 31)
    write(precious := tmp_path / "precious" / "data", 7)
    folder = settings.search_folder(search_id)
    (folder / "logs" / "link").symlink_to(precious.parent)
    settings.search_folder("linked").symlink_to(precious.parent)
    engine = open_engine(settings.database_url)
    (before,) = find_unneeded_files(settings, engine, 30, unknown=True)
    shared = next(path for path in folder.rglob("*.pt") if str(path.relative_to(folder)) not in
                  chosen_files(settings, search_id))  # fmt: skip
    os.link(shared, tmp_path / "of a child")
    (after,) = find_unneeded_files(settings, engine, 30, unknown=True)
    assert before.bytes - after.bytes == 1000
    seqnorm(settings.home, "gc-files", "--unknown", "--yes")
    assert precious.read_bytes() == b"x" * 7
    assert (tmp_path / "of a child").stat().st_size == 1000
    assert json.dumps(sorted(files(settings, search_id))) == json.dumps(sorted(chosen_files(settings, search_id)))
