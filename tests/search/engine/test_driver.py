"""How a driver begins and refuses. Whole searches are in test_engine.py, drivers that die in tests/faults."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.engine.driver import Driver, check_points
from search.engine.worker import EXIT_BUSY, EXIT_UNAVAILABLE
from search.plan.digest import compute_digest
from search.plan.selection import Point
from search.plan.spec import SearchSpec
from search.plan.stages import UNNORMALIZED, Replicate
from search.settings import Settings, to_environment
from search.store import leases, searches, tables
from search.store.database import open_engine
from tests.search.stored import submit
from trainers.commands.files import find_file
from trainers.recipe import RecipeError, find


def drive(settings: Settings, search_id: str, *parent: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "search.engine.driver", search_id, *parent]
    environment = os.environ | to_environment(settings)
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)


def test_a_driver_leaves_a_search_to_the_one_that_holds_it(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    engine = open_engine(settings.database_url)
    leases.acquire(engine, search_id, 60)
    done = drive(settings, search_id)
    assert done.returncode == EXIT_BUSY
    assert f"a search has one driver: got {search_id}, which process {os.getpid()} on " in done.stderr
    with engine.connect() as connection:
        assert searches.get(connection, search_id).epoch == 1


def test_a_driver_whose_worker_is_gone_before_it_runs_takes_no_lease(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    gone = subprocess.Popen(["true"])
    gone.wait(10)
    assert drive(settings, search_id, str(gone.pid)).returncode == EXIT_BUSY
    with open_engine(settings.database_url).connect() as connection:
        search = searches.get(connection, search_id)
    assert (search.status, search.epoch) == ("queued", 0)


def test_a_driver_waits_for_a_cluster_that_does_not_answer(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    search_id = submit(settings.database_url)
    assert drive(replace(settings, ray_address=address), search_id).returncode == EXIT_UNAVAILABLE
    with open_engine(settings.database_url).connect() as connection:
        search = searches.get(connection, search_id)
        assert leases.find_holder(connection, search_id) is None
    assert search.status == "queued"
    why = f"the Ray cluster in SEQNORM_RAY_ADDRESS must answer: got {address} (Connection refused). Start it"
    assert search.reason.startswith(f"waiting for Ray: {why}")


def test_a_driver_without_a_search_says_so(settings: Settings) -> None:
    submit(settings.database_url)
    done = drive(settings, "nowhere")
    assert done.returncode == 1
    assert done.stderr == "error: no search has the id 'nowhere'. List them with: seqnorm list\n"


def test_a_search_that_began_with_another_code_is_paused_before_ray_is_started(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    engine = open_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(tables.searches.update().values(digest={"recipe": "before", "data": "bundled"}))
    assert drive(settings, search_id).returncode == 0
    with engine.connect() as connection:
        left = searches.get(connection, search_id)
        assert leases.find_holder(connection, search_id) is None
    assert left.status == "paused"
    assert left.reason.startswith("a search must be resumed with unchanged code and data: got another recipe. ")
    assert left.reason.endswith(f"seqnorm resume {search_id} --accept-code-change")


def test_a_search_whose_recipe_cannot_be_used_any_more_is_paused_with_the_reason(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    engine = open_engine(settings.database_url)
    with engine.begin() as connection:
        spec = searches.get(connection, search_id).spec.model_dump(mode="json") | {"recipe": "photos"}
        connection.execute(tables.searches.update().values(spec=spec))
    find_file(settings.home, "photos").parent.mkdir(mode=0o755, parents=True)
    find_file(settings.home, "photos").write_text("batch = 64")
    assert drive(settings, search_id).returncode == 0
    with engine.connect() as connection:
        left = searches.get(connection, search_id)
        assert leases.find_holder(connection, search_id) is None
    assert left.status == "paused"
    assert left.reason.startswith(f"{find_file(settings.home, 'photos')}: command is required: got nothing. Write e.g.")


@pytest.mark.parametrize("data", [None, "mine.npz"])
def test_a_search_whose_data_set_is_gone_asks_for_it_and_not_for_a_change_to_be_accepted(
    settings: Settings, tmp_path: Path, data: str | None
) -> None:
    search_id = submit(settings.database_url)
    expected = settings.home / "data" if data is None else tmp_path / data
    with open_engine(settings.database_url).begin() as connection:
        stored = searches.get(connection, search_id).spec.model_dump(mode="json")
        spec = stored | {"recipe": "images", "data": None if data is None else str(expected)}
        digest = compute_digest(SearchSpec(**spec), find("images"), settings.home)
        connection.execute(tables.searches.update().values(spec=spec, digest=digest | {"data": "what it was"}))
    assert drive(settings, search_id).returncode == 0
    with open_engine(settings.database_url).begin() as connection:
        left = searches.get(connection, search_id)
        searches.resume(connection, search_id)
        again = searches.get(connection, search_id)
    assert (left.status, again.status) == ("paused", "queued")
    assert left.reason == f"a search needs the data set that it began with: got none at {expected}. Put it back."


def test_stage_test_is_trained_with_its_own_numbers(settings: Settings) -> None:
    numbers = {"numbers": {"epochs": 2}, "test_numbers": {"epochs": 5, "batch": 128}}
    search_id = submit(settings.database_url, **numbers)
    lease = leases.acquire(open_engine(settings.database_url), search_id, 60)
    driver = Driver(settings, lease, os.getpid())
    jobs = [
        driver._make_job(Replicate(stage, point, 0))
        for stage, point in (("gm", Point("main", 1, 0)), ("test", Point("main", 1, 0)), ("test", UNNORMALIZED))
    ]
    assert [(job.measure, job.overrides) for job in jobs] == [
        ("validation", {"epochs": 2}),
        ("test", {"epochs": 5, "batch": 128}),
        ("test", {"epochs": 5, "batch": 128}),
    ]


def test_a_recipe_is_asked_about_every_gc_of_every_variant() -> None:
    asked: list[tuple[Any, Any, int]] = []

    def check(numbers: Any, data: Any, gc: int) -> None:
        asked.append((numbers, data, gc))
        if gc == 4:
            raise RecipeError("gc must divide every width: got gc=4. Use 1, 2.")

    with pytest.raises(RecipeError, match="got gc=4"):
        check_points(check, ["one", "two"], "data", [1, 4])
    check_points(check, ["one", "two"], "data", [1, 2])
    assert asked[2:] == [(numbers, "data", gc) for numbers in ("one", "two") for gc in (1, 2)]
