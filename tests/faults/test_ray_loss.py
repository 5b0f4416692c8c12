"""A search whose Ray dies under its driver goes on by itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.stored import show, submit
from tests.search.worker_service import Service

VICTIMS = {
    "killed raylet": ("raylet/raylet", signal.SIGKILL),
    "killed GCS": ("gcs_server", signal.SIGKILL),
    "frozen GCS": ("gcs_server", signal.SIGSTOP),
}


@pytest.fixture
def service(own_ray: None, tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "home", f"sqlite:///{tmp_path / 'test.db'}")
    yield service
    service.stop()


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_search_whose_private_ray_loses_a_server_goes_on_in_another(service: Service, victim: str) -> None:
    url = service.settings.database_url
    search_id = submit(url, gm=[8], gc=[4], seeds=4, test_seeds=1, numbers={"seconds": 1.0, "epochs": 4})
    service.start()
    service.wait(lambda: service.running(search_id) > 0, 60, "nothing runs")
    word, number = VICTIMS[victim]
    (server,) = service.named(word)
    server.send_signal(number)
    service.wait(lambda: service.epoch(search_id) > 1 and service.running(search_id) > 0, 90, "it stands still")
    service.wait(lambda: service.status(search_id) == "done", 90, "the search did not end")
    trials = show(url, search_id).trials
    assert (trials.running, trials.failed) == (0, 0)
