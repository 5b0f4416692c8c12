"""Where a command works. What a service answers is in tests/search/test_client.py and tests/service/."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from search.cli.backends import LocalBackend, RemoteBackend, make_backend, require_local
from search.settings import Settings
from search.store import searches
from search.store.database import open_engine
from search.views import SearchView
from search.vocabulary.errors import InvalidSpec, StoreUnavailable
from search.vocabulary.states import Action, Status
from tests.search.stored import PLANTED, finished_search, submit
from trainers.commands.command import Command

SMALL = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


def test_commands_work_here_unless_a_service_is_named(settings: Settings) -> None:
    here, there = make_backend(settings), make_backend(replace(settings, url="http://127.0.0.1:1"))
    assert isinstance(here, LocalBackend)
    assert isinstance(there, RemoteBackend)
    assert here.address == f"Database: {settings.database_url}"
    assert there.address == "Service: http://127.0.0.1:1"


def test_a_command_of_this_machine_is_refused_at_a_service(settings: Settings) -> None:
    require_local(settings, "worker")
    with pytest.raises(InvalidSpec, match="worker only runs on this machine: got the service http://service"):
        require_local(replace(settings, url="http://service"), "worker")


def test_a_service_gets_no_program_but_the_file_that_describes_it(settings: Settings) -> None:
    place = RemoteBackend(replace(settings, url="http://127.0.0.1:1"))
    command = Command(words=("/usr/bin/python", "train.py", "{gm}"), folder="/w")
    for ask in (place.submit, place.plan):
        with pytest.raises(InvalidSpec) as caught:
            ask({"recipe": "train.py"}, command)
        assert str(caught.value) == (
            "a service runs recipes, never programs of whoever asks: got train.py. Leave out --url and SEQNORM_URL, or "
            "have the operator of the service save this as HOME/recipes/NAME.toml, and give NAME:\n\n"
            'command = "/usr/bin/python train.py \'{gm}\'"\nfolder = "/w"\nmetric = "accuracy"\nmode = "max"'
        )


def test_here_a_search_is_submitted_listed_and_shown(settings: Settings) -> None:
    place = LocalBackend(settings)
    search_id = place.submit({**PLANTED, "name": "mine"})
    assert [(row.search, row.name) for row in place.searches(5, status=Status.QUEUED)] == [(search_id, "mine")]
    assert place.searches(5, status=Status.DONE) == []
    assert place.show(search_id).search == search_id


def test_reading_creates_no_store(settings: Settings) -> None:
    with pytest.raises(StoreUnavailable, match="the database must exist"):
        LocalBackend(settings).searches(5)
    assert LocalBackend(settings).plan(PLANTED).seconds is None
    assert not settings.home.exists()


def test_a_plan_tells_how_long_trials_of_the_recipe_took(settings: Settings) -> None:
    finished_search(settings.database_url, **SMALL)
    plan = LocalBackend(settings).plan(PLANTED)
    assert plan.seconds is not None
    assert plan.trials == 5 * 3 + 3 * 3 + 4 * 3


def test_a_search_is_followed_until_nobody_runs_it_any_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalBackend, "FOLLOW_SECONDS", 0.01)
    search_id, seen = submit(settings.database_url), []

    def tick(shown: SearchView) -> None:
        seen.append(shown.status)
        if len(seen) == 2:
            LocalBackend(settings).request(search_id, Action.PAUSE)

    assert LocalBackend(settings).follow(search_id, tick).status == "paused"
    assert seen == ["queued", "queued", "paused"]


@pytest.mark.parametrize(("action", "status"), [(Action.PAUSE, "paused"), (Action.CANCEL, "cancelled")])
def test_what_is_asked_of_a_search_that_nobody_runs_comes_at_once(
    settings: Settings, action: Action, status: str
) -> None:
    search_id = submit(settings.database_url)
    state = LocalBackend(settings).request(search_id, action)
    assert (state.search, state.status, state.requested_status) == (search_id, status, None)
    with open_engine(settings.database_url).connect() as connection:
        assert searches.get(connection, search_id).status == status


def test_recipes_and_files_come_from_here(settings: Settings) -> None:
    place, file = LocalBackend(settings), io.BytesIO()
    place.export(finished_search(settings.database_url, **SMALL), "json", file)
    assert len(json.loads(file.getvalue())) == 10
    assert {"digits-mlp", "planted"} <= {recipe.name for recipe in place.recipes()[0]}
