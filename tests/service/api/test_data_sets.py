"""Data sets are named, under the data folder, and never a path."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.settings import Settings
from search.vocabulary.errors import InvalidSpec
from service.api.data_sets import find_name, list_names, naming_no_paths, resolve_data_set
from tests.service.conftest import Site
from tests.trainers.folders import make_folders

SPEC: dict[str, Any] = {"recipe": "planted", "gm": [1, 2], "gc": [1], "seeds": 1}


def test_data_sets_are_named_and_links_are_none(site: Site) -> None:
    folder = site.settings.home / "data"
    (folder / "mine").mkdir(parents=True, exist_ok=True)
    (folder / ".hidden").mkdir(exist_ok=True)
    (folder / "link").symlink_to("/etc", target_is_directory=True)
    (folder / "other.npz").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    names = [each["name"] for each in site.api.get("/api/data").json()]
    assert [name for name in names if (folder / name).exists()] == ["mine", "other.npz"]
    for name in ("link", ".hidden", "notes.txt", "mine/..", "mine/"):
        refusal = site.api.post("/api/searches", json={**SPEC, "data": name}).json()["detail"]
        assert refusal.startswith(
            f"data must name a data set of this service: got {name!r}. Known: {', '.join(names)}."
        )


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
    with pytest.raises(InvalidSpec, match=r"got 'mine'. Known: none. Upload one with POST /api/data"):
        resolve_data_set(settings, {"data": "mine"})


def test_data_from_elsewhere_on_the_machine_has_no_name(settings: Settings) -> None:
    assert find_name(settings, "/somewhere/mine") is None
    assert find_name(settings, None) is None


X, Y = np.zeros((60, 4, 4), np.uint8), np.arange(60) % 3
DAMAGED = ("garbage.npz", "encrypted.npz", "method.npz", "lying.npz", "stream.npz")


@pytest.fixture
def damaged(site: Site) -> Iterator[Path]:
    """The data folder of the service with files of every kind that no decoder takes."""
    folder = site.settings.home / "data"
    folder.mkdir(exist_ok=True)
    for name in DAMAGED:
        np.savez_compressed(folder / name, x=X, y=Y)
        (folder / name).write_bytes(damage(name, (folder / name).read_bytes()))
    with zipfile.ZipFile(folder / "lying.npz", "w") as archive:
        for member, array, shape in (("x", X, "(10**9, 28, 28)"), ("y", Y, "(10**9,)")):
            np.save(content := io.BytesIO(), array)
            archive.writestr(f"{member}.npy", content.getvalue().replace(str(array.shape).encode(), shape.encode()))
    yield folder
    for name in DAMAGED:
        (folder / name).unlink()


def damage(name: str, content: bytes) -> bytes:
    """Return a file with its zip headers or its compressed bytes changed."""
    if name == "stream.npz":
        start = content.index(b"x.npy") + 25
        return content[:start] + bytes(60) + content[start + 60 :]
    if name == "garbage.npz":
        return b"not a zip"
    at, value = {"encrypted.npz": (6, 1), "method.npz": (8, 99)}.get(name, (0, ord("P")))
    changed = bytearray(content)
    for magic, offset in ((b"PK\x03\x04", at), (b"PK\x01\x02", at and at + 2)):
        place = changed.find(magic)
        while place >= 0:
            changed[place + offset] = value
            place = changed.find(magic, place + 1)
    return bytes(changed)


@pytest.mark.parametrize("path", ["/api/searches", "/api/searches/plan"])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_no_decoder_takes_is_refused_by_its_name_alone(
    site: Site, damaged: Path, name: str, path: str
) -> None:
    fields = {"recipe": "images", "gm": [1], "gc": [1], "numbers": {"batch": 4}, "data": name}
    answer = site.api.post(path, json=fields)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"data must be an .npz file without pickles: got {name} (")
    assert str(site.settings.home) not in answer.text


def test_what_was_found_is_in_a_plan_in_a_search_and_on_its_page(site: Site) -> None:
    folder = make_folders(site.settings.home / "data" / "photos", "a", "b", "__MACOSX")
    make_folders(folder, "b", suffix=".gif", count=12)
    fields = {"recipe": "images", "gm": [1], "gc": [1], "numbers": {"batch": 4}, "data": "photos"}
    found = (
        "20 images of 2 classes (a, b): 16 for training, 2 for validation, 2 for test; 12 files left out: 12 .gif; "
        "folders left out: __MACOSX."
    )
    try:
        assert site.api.post("/api/searches/plan", json=fields).json()["data"] == found
        search = site.api.post("/api/searches", json=fields).json()["search"]
        assert site.api.get(f"/api/searches/{search}").json()["provenance"]["data"] == found
        assert f"Data: {found}" in site.api.get(f"/searches/{search}").text
    finally:
        site.api.post(f"/api/searches/{search}/cancel")
        shutil.rmtree(folder)


def test_a_data_set_that_is_absent_is_asked_for_without_paths(site: Site) -> None:
    answer = site.api.post("/api/searches", json={"recipe": "cifar10-resnet56", "gm": [1], "gc": [1]})
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "CIFAR-10 must be at cifar-10-batches-py: got no such folder. The operator can fetch it with --download or "
        "unpack cifar-10-python.tar.gz in the data folder. Or give your own images as data."
    )


@pytest.mark.parametrize(
    ("data", "words", "told"),
    [
        (None, "got {home}/data/mine.npz, {home}/data and {home}.", "got mine.npz, the data folder and home."),
        ("/elsewhere/own.npz", "got /elsewhere/own.npz of /elsewhere.", "got own.npz of its folder."),
        ("/own.npz", "got /own.npz, 1/2.", "got /own.npz, 1/2."),
    ],
)
def test_what_is_refused_names_no_paths(settings: Settings, data: str | None, words: str, told: str) -> None:
    with pytest.raises(InvalidSpec) as caught, naming_no_paths(settings, data):
        raise InvalidSpec(words.format(home=settings.home))
    assert str(caught.value) == told
