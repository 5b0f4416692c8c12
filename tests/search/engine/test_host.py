"""What this host has for a Ray of its own, at most."""

from __future__ import annotations

from math import inf
from pathlib import Path

import psutil
import pytest

from search.engine.host import OVERRIDE, read_capacity


def write(root: Path, file: str, text: str = "") -> None:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_host_has_its_devices_its_memory_and_its_processors(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        write(tmp_path, f"dev/{name}")
    found = read_capacity(tmp_path, {})
    assert (found["GPU"], found["memory"]) == (2, psutil.virtual_memory().total)
    assert 1 <= found["CPU"] < inf
    assert read_capacity(tmp_path / "nothing", {})["GPU"] == 0


def test_a_container_has_what_it_is_given(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu.max", "50000 100000\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "1000000\n")
    found = read_capacity(tmp_path, {})
    assert (found["CPU"], found["memory"]) == (1, 1_000_000)
    for file in ("cpu.max", "memory.max"):
        write(tmp_path, f"sys/fs/cgroup/{file}", "max 100000\n" if file == "cpu.max" else "max\n")
    assert read_capacity(tmp_path, {})["memory"] > 1_000_000


@pytest.mark.parametrize("device", ["dev/kfd", "dev/dxg", "dev/dri/renderD128"])
def test_a_device_that_may_be_a_gpu_refuses_nothing(tmp_path: Path, device: str) -> None:
    write(tmp_path, device)
    assert read_capacity(tmp_path, {})["GPU"] == inf


def test_where_ray_is_told_what_there_is_nothing_is_refused(tmp_path: Path) -> None:
    assert set(read_capacity(tmp_path, {OVERRIDE: '{"GPU": 4}'}).values()) == {inf}
