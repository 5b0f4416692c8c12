"""Data sets are named, under the data folder, and never a path."""

from __future__ import annotations

from typing import Any

import pytest

from search.settings import Settings
from search.vocabulary.errors import InvalidSpec
from service.api.data_sets import find_name, list_names, resolve_data_set
from tests.service.conftest import Site

SPEC: dict[str, Any] = {"recipe": "planted", "gm": [1, 2], "gc": [1], "seeds": 1}


def test_data_sets_are_named_and_links_are_none(site: Site) -> None:
    folder = site.settings.home / "data"
    (folder / "mine").mkdir(parents=True, exist_ok=True)
    (folder / ".hidden").mkdir(exist_ok=True)
    (folder / "link").symlink_to("/etc", target_is_directory=True)
    (folder / "other.npz").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    assert site.api.get("/api/data").json() == [{"name": "mine"}, {"name": "other.npz"}]
    for name in ("link", ".hidden", "notes.txt", "mine/..", "mine/"):
        refusal = site.api.post("/api/searches", json={**SPEC, "data": name}).json()["detail"]
        assert refusal.startswith(f"data must name a data set of this service: got {name!r}. Known: mine, other.npz.")


def test_a_name_stands_for_a_path_that_only_the_service_knows(settings: Settings) -> None:
    folder = settings.home / "data"
    (folder / "mine").mkdir(parents=True)
    fields = {"recipe": "images", "data": "mine"}
    placed = resolve_data_set(settings, fields)
    assert placed == {"recipe": "images", "data": str(folder / "mine")}
    assert find_name(settings, placed["data"]) == "mine"
    assert resolve_data_set(settings, {"recipe": "images"}) == {"recipe": "images"}


def test_without_a_data_folder_no_name_is_known(settings: Settings) -> None:
    assert list_names(settings) == []
    with pytest.raises(InvalidSpec, match=r"got 'mine'. Known: none. The operator adds one by putting an .npz file"):
        resolve_data_set(settings, {"data": "mine"})


def test_data_from_elsewhere_on_the_machine_has_no_name(settings: Settings) -> None:
    assert find_name(settings, "/somewhere/mine") is None
    assert find_name(settings, None) is None
