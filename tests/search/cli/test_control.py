"""``submit``, ``pause``, ``cancel``, ``retry`` and ``widen``, in this process."""

from __future__ import annotations

import json

import pytest

from search.actions.submit import prepare
from search.cli.control import request_status, retry_failed, widen
from search.cli.control import submit as submit_search
from search.settings import Settings
from search.store import searches, tables
from search.store.database import open_engine
from search.vocabulary.errors import Conflict
from tests.search.stored import PLANTED, finished_search, submit
from trainers.commands.command import Command


def stored(settings: Settings, search_id: str) -> searches.Search:
    with open_engine(settings.database_url).connect() as connection:
        return searches.get(connection, search_id)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_search_is_queued_and_its_id_printed(
    settings: Settings, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    submit_search(settings, {"recipe": "planted", "gm": [1, 8], "gc": [4]}, as_json)
    printed = capsys.readouterr().out.strip()
    search_id = json.loads(printed)["search"] if as_json else printed
    assert (stored(settings, search_id).status, stored(settings, search_id).spec.gm) == ("queued", [1, 8])


def test_a_search_of_a_program_is_queued_with_who_may_run_it(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(words=("/bin/true", "{gm}"), folder=str(settings.home.parent))
    submit_search(settings, {"recipe": "true", "gm": [1], "gc": [4]}, False, "seqnorm --home here", command)
    printed = capsys.readouterr()
    assert stored(settings, printed.out.strip()).command == command
    said = "Only a worker of this user on this host runs it. Start one with: seqnorm --home here worker\n"
    assert printed.err == said


def test_a_search_that_nobody_runs_is_paused_and_cancelled_at_once(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    search_id = submit(settings.database_url)
    request_status(settings, search_id, "pause", json=False)
    request_status(settings, search_id, "cancel", json=True)
    paused, cancelled = capsys.readouterr().out.splitlines()
    assert paused == f"{search_id} is paused"
    assert json.loads(cancelled)["status"] == "cancelled" == stored(settings, search_id).status


def test_a_wider_search_is_a_child_whose_id_is_printed_alone(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = finished_search(settings.database_url, gm=[8], gc=[4], seeds=1)
    with open_engine(settings.database_url).begin() as connection:  # as a search that was submitted by a person has it
        digest = prepare(settings, PLANTED).digest
        connection.execute(tables.searches.update().values(digest=digest))
    widen(settings, parent, {"gm": [16]}, json=False, program="seqnorm --home here")
    printed = capsys.readouterr()
    child = stored(settings, printed.out.strip())
    assert (child.parent, child.spec.gm) == (parent, [8, 16])
    assert f"or: seqnorm --home here resume {child.id}" in printed.err


def test_a_search_without_a_failed_trial_is_not_retried(settings: Settings) -> None:
    search_id = finished_search(settings.database_url, gm=[8], gc=[4], seeds=1)
    with pytest.raises(Conflict, match=f"only failed trials can be retried: got {search_id}, which has none"):
        retry_failed(settings, search_id, json=False, program="seqnorm")
