"""Data sets are listed with what is known of them, and uploaded."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.client import Client
from search.settings import Settings
from search.vocabulary.errors import Conflict, InvalidSpec
from service.admission import PLACES, Lane
from service.api.data_sets import list_data_sets
from service.middleware.body import MAX_BYTES
from service.uploads import MAX_UPLOADS, MAX_UPLOADS_OF_TOKEN
from tests.service.conftest import Site
from tests.trainers.archives import arrays, class_folders, pack

LARGER = arrays(70_000)
assert len(LARGER) > MAX_BYTES, "of the bodies of other routes"


@pytest.fixture
def folder(site: Site) -> Iterator[Path]:
    """The folder of uploads, in which nothing stays that is no data set."""
    folder = site.settings.home / "uploads"
    yield folder
    wait_until_clean(folder)


def wait_until_clean(folder: Path) -> None:
    for _ in range(100):
        if not [path for path in folder.glob("*") if path.name[0] == "."]:
            return
        time.sleep(0.05)
    raise AssertionError(list(folder.glob("*")))


def test_an_archive_is_uploaded_listed_and_trained_on(site: Site, folder: Path) -> None:
    with Client(site.url, site.token("submit")) as client, open_file(site, pack(class_folders("flowers/"))) as file:
        placed = client.upload("flowers.zip", file)
        assert (placed.name, placed.kind, placed.classes) == ("flowers", "folder", 2)
        assert placed.size == sum(map(len, class_folders().values()))
        assert placed.model_copy(update={"size": None}) in client.data_sets()
        plan = client.plan({"recipe": "images", "data": "flowers", "gm": [1], "gc": [1], "numbers": {"batch": 4}})
        assert plan.refused == ()
    audit = site.api.get("/api/audit", params={"subject": "flowers"}).json()
    assert [(each["owner"], each["action"], each["detail"]) for each in audit] == [
        ("ada", "upload", {"kind": "folder", "size": placed.size})
    ]
    assert sorted(path.name for path in (folder / "flowers").iterdir()) == ["rose", "tulip"]


def open_file(site: Site, content: bytes):
    file = site.settings.home / "sent"
    file.write_bytes(content)
    return file.open("rb")


def test_arrays_are_uploaded_once(site: Site, folder: Path) -> None:
    with Client(site.url, site.token("submit")) as client, open_file(site, LARGER) as file:
        assert client.upload("small.npz", file).classes == 3
        file.seek(0)
        with pytest.raises(Conflict, match=r"^the name of a data set must be free: got 'small.npz'"):
            client.upload("small.npz", file)
        with pytest.raises(InvalidSpec, match=r"must be free|must be NAME.npz or NAME.zip"):
            client.upload("small.gz", file)
    assert (folder / "small.npz").read_bytes() == LARGER


def test_what_is_refused_leaves_nothing(site: Site, folder: Path) -> None:
    for name, content, said in (
        ("evil.zip", pack({**class_folders(), "../x": b""}), "the files in an archive must lie below its own folder"),
        ("evil.npz", pack({}), "a data set must be an .npz file or a .zip of class folders: got something else"),
        (
            "evil.npz",
            arrays(2),
            "every split must hold an image: got 2 for training, 0 for validation, 0 for test of evil.npz.",
        ),
        ("evil.npz", pack({"x": b""}), "data must be an .npz file without pickles: got evil.npz ("),
    ):
        answer = site.api.post("/api/data", params={"name": name}, content=content)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(said)
        assert str(site.settings.home) not in answer.text
    form = site.api.post("/api/data", params={"name": "evil.npz"}, files={"file": arrays()})
    assert form.json()["detail"].startswith("the body of an upload must be the file itself: got a form.")
    assert not [path for path in folder.glob("*") if "evil" in path.name]


def begin_upload(site: Site, token: str, content: bytes, length: int = 10**6) -> socket.socket:
    """Send a part of an upload."""
    client = socket.create_connection(("127.0.0.1", site.settings.port), timeout=30)
    head = (
        f"POST /api/data?name=left.zip HTTP/1.1\r\nHost: 127.0.0.1:{site.settings.port}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    )
    client.sendall(head.encode() + content)
    return client


def test_clients_that_leave_leave_nothing_and_those_who_stay_keep_nobody_out(site: Site, folder: Path) -> None:
    started = pack(class_folders())[:2000]
    tokens = [site.token("submit") for _ in range(MAX_UPLOADS // MAX_UPLOADS_OF_TOKEN)]
    clients = [begin_upload(site, token, started) for token in tokens for _ in range(MAX_UPLOADS_OF_TOKEN)]
    for _ in range(500):
        if len(list(folder.glob(".upload-*/received"))) == MAX_UPLOADS:
            break
        time.sleep(0.02)
    else:
        raise AssertionError("files are written as they arrive")
    assert PLACES[Lane.READ] < MAX_UPLOADS
    assert site.api.get("/api/data").status_code == 200, "a body on its way holds no place"
    refused = site.api.post("/api/data", params={"name": "x.npz"}, content=arrays())
    assert (refused.status_code, refused.json()["detail"][:44]) == (503, "a service has at most 8 uploads open at once")
    for client in clients:
        client.close()
    wait_until_clean(folder)
    assert not (folder / "left").exists()


def test_a_client_that_leaves_while_its_file_is_unpacked_leaves_nothing(site: Site, folder: Path) -> None:
    content = pack(class_folders())
    with begin_upload(site, site.token("submit"), content, len(content)):
        for _ in range(500):
            if any(file.stat().st_size == len(content) for file in folder.glob(".upload-*/received")):
                break
            time.sleep(0.01)
        else:
            raise AssertionError("a file is written before it is unpacked")
    wait_until_clean(folder)
    assert not (folder / "left").exists()


def test_strangers_are_refused_before_anything_is_written(site: Site, folder: Path) -> None:
    before = sorted(folder.glob("*"))
    reader = site.client("read")
    for headers, status in (({"Authorization": "Bearer wrong"}, 401), (reader.headers, 403)):
        answer = reader.post("/api/data", params={"name": "x.npz"}, content=arrays(), headers=headers)
        assert answer.status_code == status
    assert sorted(folder.glob("*")) == before


def test_a_length_that_cannot_be_is_too_large(site: Site, folder: Path) -> None:
    with begin_upload(site, site.token("submit"), b"", length=int("9" * 18)) as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_data_sets_are_listed_with_what_is_cheaply_known(settings: Settings) -> None:
    for path in ("data/mine/rose", "data/mine/tulip", "uploads/split/train/a", "uploads/split/val/a", "uploads/mine/x"):
        (settings.home / path).mkdir(parents=True)
    (settings.home / "uploads/small.npz").write_bytes(b"1234")
    assert [tuple(each.model_dump().values()) for each in list_data_sets(settings)] == [
        ("mine", "folder", None, 2),
        ("small.npz", "npz", 4, None),
        ("split", "folder", None, 1),
    ]
    (settings.home / "uploads/split/train/b").mkdir()
    assert list_data_sets(settings)[-1].classes == 2
