"""Starting the service and ending it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx2

from search.settings import Settings, to_environment
from tests.service.clients import first_client
from tests.service.conftest import free_port, serving


def test_the_first_start_makes_a_token_and_every_start_prints_a_link(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", port=free_port(), worker=0)
    codes = []
    for _ in range(2):
        with serving(settings) as printed, first_client(settings) as api:
            said = printed.read_text()
            codes += re.findall(r"/login\?code=([A-Za-z0-9_-]{43})\n", said)
            assert settings.token_file.stat().st_mode & 0o777 == 0o600
            assert settings.token_file.read_text().strip() not in said
            assert [token["name"] for token in api.get("/api/tokens").json()] == ["first start"]
            assert httpx2.get(api.base_url.join(f"/login?code={codes[-1]}")).status_code == 303
    assert len(set(codes)) == 2


def test_ctrl_c_ends_the_service_cleanly(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=free_port(), worker=0)
    with serving(settings) as printed:
        pass
    assert "Traceback" not in printed.read_text()
    process = subprocess.Popen(
        [sys.executable, "-m", "service"],
        env=os.environ | to_environment(replace(settings, worker=1)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    while "Log in" not in (line := process.stderr.readline()):
        assert line
    time.sleep(2)  # the worker starts
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=40)[1]
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
