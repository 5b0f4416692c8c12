"""The service's writes: one at a time on SQLite, side by side on PostgreSQL; none waits for what another hashes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search.actions.widen import Widening
from search.settings import Settings
from search.store import searches
from search.store.schema import upgrade
from search.vocabulary.errors import Conflict
from service import accounts
from service.accounts.limits import require_capacity
from service.api import actions
from service.api.searches import Description, describe
from service.database import Database
from service.middleware.access import Caller
from tests.search.actions.test_widen import Meanwhile, search_with_a_failed_trial
from tests.search.stored import submit


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    upgrade(database_url)
    database = Database(Settings(home=tmp_path, db=database_url))
    yield database
    database.close()


def beside(*tasks: Callable[[], object]) -> list[object]:
    """Do all of it at the same time; return what each raised, or None."""
    raised: list[object] = [None] * len(tasks)

    def keep(number: int, task: Callable[[], object]) -> None:
        try:
            task()
        except Exception as error:
            raised[number] = error

    threads = [threading.Thread(target=keep, args=each, daemon=True) for each in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def test_two_writes_of_one_process_run_side_by_side_on_postgresql_alone(database: Database) -> None:
    inside = threading.Barrier(2)
    sqlite = database.write_engine.dialect.name == "sqlite"

    def write() -> None:
        with database.write():
            inside.wait(1 if sqlite else 30)  # for the other to be inside too

    raised = beside(write, write)
    met = [error is None for error in raised]
    assert met == [not sqlite] * 2, raised


def test_what_a_write_raises_undoes_it_and_lets_the_next_one_write(database: Database, database_url: str) -> None:
    search_id = submit(database_url)

    def note(text: str, fails: bool) -> None:
        with database.write() as connection:
            searches.describe(connection, search_id, note=text)
            if fails:
                raise Conflict("no")

    with pytest.raises(Conflict):
        note("first", True)
    with database.read_engine.connect() as connection:
        assert searches.get(connection, search_id).note == ""
    assert beside(lambda: note("second", False)) == [None]
    with database.read_engine.connect() as connection:
        assert searches.get(connection, search_id).note == "second"


def test_of_two_who_submit_at_once_the_last_room_is_given_to_one(database: Database, database_url: str) -> None:
    settings = Settings(db=database_url, waiting_searches=1)
    second_counted = threading.Event()

    def submit_second() -> None:
        with database.write() as connection:
            require_capacity(connection, settings, "local", 1)
            second_counted.set()

    raised: list[object] = []
    with database.write() as connection:
        require_capacity(connection, settings, "local", 1)
        second = threading.Thread(target=lambda: raised.extend(beside(submit_second)))
        second.start()
        assert not second_counted.wait(1)  # it waits for its turn, so that it counts what is stored here
        _store_a_search(connection)
    second.join()
    assert isinstance(raised[0], Conflict)
    assert "an owner may have 1 queued or running searches: got 1 more beside 1" in str(raised[0])


def _store_a_search(connection: Any) -> None:
    from search.plan.spec import parse_spec
    from search.plan.stages import make_plan
    from tests.search.stored import PLANTED
    from trainers.recipe import find

    spec = parse_spec(PLANTED)
    searches.submit(connection, spec, make_plan(spec, find("planted")), {})


@pytest.mark.parametrize("action", ["retry", "widen", "resume"])
def test_others_write_while_a_request_hashes_sources_and_data(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    settings = Settings(home=tmp_path, db=database_url)
    search_id = search_with_a_failed_trial(database_url, decided=action != "resume", gm=[1, 2], gc=[1], seeds=1)
    meanwhile = Meanwhile(monkeypatch, database_url, search_id)
    with database.write() as connection:
        token, _ = accounts.create_token(connection, name="a test", owner="ada", scopes=["manage"], lifetime=None)
    known: dict[str, Any] = {
        "database": database,
        "settings": settings,
        "caller": Caller(token, False),
        "id": search_id,
    }
    with database.read_engine.connect() as connection:
        if action == "retry":
            answer = actions.retry(connection, **known)
            assert (answer.parent, answer.trials) == (search_id, 1)
        elif action == "widen":
            answer = actions.widen(connection, **known, body=Widening(seeds=4), response=actions.Response())
            assert answer.parent == search_id
        else:
            answer = actions.resume(connection, **known, body=actions.Resumption(accept_code_change=True))
            assert answer.search == search_id
    assert answer.status == "queued"
    assert meanwhile.wrote == 1


def test_what_was_changed_is_shown_to_who_changed_it_after_the_write(database: Database, database_url: str) -> None:
    search_id = submit(database_url)
    with database.write() as connection:
        token, _ = accounts.create_token(connection, name="a test", owner="ada", scopes=["manage"], lifetime=None)
    shown = describe(database, Caller(token, False), search_id, Description(name="renamed", note=None, tags=None))
    assert shown.name == "renamed"
