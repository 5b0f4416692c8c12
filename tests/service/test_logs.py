"""The logs of a real service and its worker: every line an object, and no secret in any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from search.engine.worker import Worker
from search.settings import Settings, to_environment
from search.store.database import open_engine
from service import accounts
from service.middleware.gate import COOKIE
from tests.search.stored import submit
from tests.service.conftest import free_port, serving

PASSWORD = "hunter2-of-the-database"
SPEC = {"recipe": "planted", "gm": [1], "gc": [1], "seeds": 1, "test_seeds": 1}
BROKEN = """
from service import __main__ as main
from service.pages import routes
from fastapi import Request
@routes.router.get('/broken')
def broken(request: Request): raise RuntimeError(f"{dict(request.headers)} {request.url}")
main.main()
"""


def objects(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


def test_requests_are_logged_as_objects_without_their_secrets(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=free_port(), worker=0, log_format="json")
    with serving(settings, BROKEN) as printed:
        url = f"http://127.0.0.1:{settings.port}"
        token = settings.token_file.read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        engine = open_engine(settings.database_url)
        with engine.begin() as connection:
            known = accounts.authenticate_token(connection, token)
            assert known
            code = accounts.create_login_link(connection, known)
        httpx2.get(f"{url}/login?code={code}&next=/")
        entered = httpx2.post(f"{url}/login", data={"code": code})
        cookie = entered.cookies[COOKIE]
        httpx2.post(f"{url}/login", data={"code": code})
        httpx2.post(f"{url}/login", data={"token": token})
        httpx2.get(f"{url}/api/searches?name={token}", headers=headers)
        httpx2.get(f"{url}/api/searches?sort={token}", headers=headers)
        httpx2.get(f"{url}/api/searches/{token}", headers=headers)
        httpx2.get(f"{url}/{token}", headers={"Cookie": f"{COOKIE}={cookie}"})
        httpx2.get(f"{url}/api/searches", headers={"Authorization": f"Bearer {token}x"})
        headers["Cookie"] = f"{COOKIE}={cookie}"
        assert httpx2.get(f"{url}/broken?token={token}&code={code}", headers=headers).status_code == 500
    said = printed.read_text()
    lines = objects(said)
    for secret in (token.rpartition("_")[2], token[21:], code, cookie):
        assert secret not in said
    answered = [line for line in lines if line["logger"] == "service.middleware.access" and line["route"] != "/healthz"]
    assert [(line["method"], line["route"], line["status"]) for line in answered] == [
        ("GET", "/login", 200),
        ("POST", "/login", 303),
        ("POST", "/login", 403),
        ("POST", "/login", 303),
        ("GET", "/api/searches", 200),
        ("GET", "/api/searches", 422),
        ("GET", "/api/searches/{id}", 404),
        ("GET", "none", 404),
        ("GET", "none", 401),
        ("GET", "/broken", 500),
    ]
    assert [line.get("token") for line in answered] == [None] * 4 + [known.id] * 4 + [None, known.id]
    assert all(0 <= line["ms"] < 60_000 for line in answered)
    (fault,) = [line for line in lines if "exception" in line]
    assert fault["level"] == "error"
    assert "RuntimeError: {'host'" in fault["exception"]


def test_a_database_that_is_broken_is_logged_without_its_password(tmp_path: Path) -> None:
    for url in (
        f"postgresql+psycopg://ada:{PASSWORD}@127.0.0.1:9/none?connect_timeout=2",
        f"postgresql+psycopg://ada:{PASSWORD}@127.0.0.1:port/none",
        f"postgres+nothing://ada:{PASSWORD}@127.0.0.1/none",
        f"ada:{PASSWORD}@127.0.0.1",
    ):
        settings = Settings(home=tmp_path, db=url, port=free_port(), log_format="json", outage_seconds=0.5)
        for words in (["service"], ["search.cli", "worker"]):
            done = subprocess.run(
                [sys.executable, "-m", *words],
                env=os.environ | to_environment(settings),
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode != 0
            assert PASSWORD not in done.stdout + done.stderr, (words, url)
            assert [line["level"] for line in objects(done.stderr)][-1] in ("error", "critical"), (words, url)


def test_settings_that_are_refused_are_an_object_too(tmp_path: Path) -> None:
    environment = to_environment(Settings(home=tmp_path, log_format="json")) | {"SEQNORM_PORT": "web"}
    for words in (["service"], ["search.cli", "worker"]):
        done = subprocess.run(
            [sys.executable, "-m", *words], env=os.environ | environment, capture_output=True, text=True, timeout=60
        )
        (said,) = objects(done.stderr)
        assert said["message"].startswith("SEQNORM_PORT must be a whole number: got 'web'.")


def test_a_worker_and_a_driver_log_objects_that_name_the_search_and_say_that_no_node_can_hold_it(
    own_ray: None, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, port=free_port(), log_format="json")
    with serving(settings) as printed:
        search_id = submit(settings.database_url, **SPEC, gpus=2)  # the service would refuse what this host lacks
        deadline = time.monotonic() + 180
        while f"{search_id} is failed" not in printed.read_text():
            assert time.monotonic() < deadline, printed.read_text()
            time.sleep(0.1)
    of_worker = [line for line in objects(printed.read_text()) if "search" in line]
    assert [(line["search"], line.get("status")) for line in of_worker] == [(search_id, None), (search_id, "failed")]
    refusal = f"{search_id} is failed a trial must fit on one node: got 1 CPU, 2 GPU, and the cluster has 1 nodes with"
    assert of_worker[1]["message"].startswith(refusal)
    assert "/login?code=" not in printed.read_text(), "a log is no place for a link that logs in"
    again = subprocess.run(
        [sys.executable, "-m", "search.engine.driver", search_id],
        env=os.environ | to_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    (said,) = objects(again.stderr)
    assert (said["search"], said["level"]) == (search_id, "info")
    assert said["message"].startswith("only a queued or running search can be run")
    assert objects(settings.driver_log(search_id).read_text()) == []


def test_why_drivers_died_is_said_as_a_sentence_whatever_they_log(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, log_format="json")
    log = settings.driver_log("abc")
    log.parent.mkdir(parents=True)
    log.write_text('{"level": "critical", "message": "RuntimeError: no room"}\n')
    engine = open_engine(settings.database_url)
    assert Worker(settings, engine)._last_log_line("abc") == "RuntimeError: no room"
