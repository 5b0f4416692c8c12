"""An upload arrives within its limits, becomes a data set at once and whole, and leaves nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from search.settings import Settings
from search.vocabulary.errors import Conflict, Denied, InvalidSpec, SearchError, StoreUnavailable, TooLarge, TooSlow
from service import uploads
from service.uploads import Upload, remove_leftovers, require_uploads
from tests.service.loops import run
from tests.trainers.archives import pack
from trainers.unpacking import Unpacked

MOST = 100


@pytest.fixture
def upload(tmp_path: Path) -> Iterator[Upload]:
    upload = Upload(tmp_path, "flowers.zip", MOST)
    yield upload
    upload.remove()
    assert not [path for path in tmp_path.iterdir() if path.name[0] == "."]


def receive(upload: Upload, *pieces: bytes, seconds: float = 0.0) -> None:
    """Let pieces arrive, one after another."""

    async def arrive() -> AsyncIterator[bytes]:
        for piece in (*pieces, b""):
            await asyncio.sleep(seconds)
            yield piece

    run(upload.receive(arrive()))


def received(upload: Upload) -> Path:
    return upload._file


def test_a_file_is_written_as_it_arrives(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "WRITE_BYTES", 4)
    receive(upload, b"P", b"K\x03\x04", b"flo", b"wers")
    assert received(upload).read_bytes() == b"PK\x03\x04flowers"
    assert received(upload).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("pieces", [(b"",), (b"P",), (b"<html>",), (b"P", b"KX"), (b"PK\x05\x06" + bytes(18),)])
def test_what_is_no_archive_is_refused_with_its_first_piece(upload: Upload, pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidSpec, match=r"must be an .npz file or a .zip of class folders: got something else in fl"):
        receive(upload, *pieces)


def test_more_than_is_allowed_is_refused_while_it_arrives(upload: Upload) -> None:
    with pytest.raises(TooLarge, match=r"at most 1e-07 GB: got more in flowers.zip. Send fewer or smaller images"):
        receive(upload, b"PK\x03\x04", bytes(MOST))


@pytest.mark.parametrize("limit", ["PIECE_SECONDS", "WHOLE_SECONDS"])
def test_a_file_that_does_not_arrive_is_not_waited_for(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(uploads, limit, 0.01)
    with pytest.raises(TooSlow, match=r"^a file must arrive within .* got a part of flowers.zip. Send it again.$"):
        receive(upload, b"PK\x03\x04", seconds=60)


@pytest.mark.parametrize("name", ["flowers", "flowers.rar", ".zip", ".npz", "a b.zip", "../x.zip", "ü.npz", "x/y.zip"])
def test_a_name_that_no_data_set_has_is_refused(tmp_path: Path, name: str) -> None:
    refusal_of(InvalidSpec, tmp_path, name, said="the name of an upload must be NAME.npz or NAME.zip")


@pytest.mark.parametrize("taken", ["uploads/flowers", "data/flowers"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir()
    (tmp_path / taken).symlink_to("nowhere")
    with pytest.raises(Conflict, match=r"^the name of a data set must be free: got 'flowers', which is there already"):
        Upload(tmp_path / "uploads", "flowers.zip", MOST, other_folders=[tmp_path / "data"])


def test_what_is_announced_as_too_large_or_would_fill_the_disk_is_refused_before_it_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal_of(TooLarge, tmp_path, "x.zip", announced=MOST + 1, said="a data set may have at most")
    monkeypatch.setattr(uploads, "FREE_BYTES", 2**62)
    refusal_of(StoreUnavailable, tmp_path, "x.zip", said="an upload must leave")


def test_what_would_fill_the_disk_unannounced_is_refused_while_it_arrives(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FREE_BYTES", 2**62)
    with pytest.raises(StoreUnavailable, match=r"^an upload must leave"):
        receive(upload, b"PK\x03\x04")
    assert received(upload).stat().st_size == 0


def test_what_would_fill_the_disk_unpacked_is_refused_before_it_is(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    received(upload).write_bytes(pack({"a/0.png": b""}))
    monkeypatch.setattr(uploads, "FREE_BYTES", 2**62)
    with pytest.raises(StoreUnavailable, match=r"must have room for all files .* got too little for flowers.zip. Ask"):
        upload.unpack()
    assert not received(upload).with_name("unpacked").exists()


def refusal_of(kind: type[SearchError], folder: Path, name: str, *, said: str, announced: int = 0) -> None:
    with pytest.raises(kind) as caught:
        Upload(folder, name, MOST, announced)
    assert str(caught.value).startswith(said)
    assert not list(folder.iterdir())


def test_of_two_uploads_with_one_name_the_first_is_kept(tmp_path: Path) -> None:
    for name in ("flowers.zip", "flowers.npz"):
        both = Upload(tmp_path, name, MOST), Upload(tmp_path, name, MOST)
        for number, each in enumerate(both):
            place = unpacked(each, name, str(number))
            if number == 0:
                assert each.place(place).name == name.removesuffix(".zip")
            else:
                with pytest.raises(Conflict, match="which is there already"):
                    each.place(place)
            each.remove()
    assert (tmp_path / "flowers" / "content").read_text() == "0"
    assert (tmp_path / "flowers.npz").read_text() == "0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flowers", "flowers.npz"]


def unpacked(upload: Upload, name: str, content: str) -> Unpacked:
    """Return what an upload is unpacked to, as a child would."""
    path = received(upload)
    if name.endswith(".zip"):
        path = path.with_name("unpacked")
        path.mkdir()
        (path / "content").write_text(content)
    else:
        path.write_text(content)
    return Unpacked(path, 1, 2)


def test_what_is_taken_back_is_gone(tmp_path: Path) -> None:
    upload = Upload(tmp_path, "flowers.zip", MOST)
    upload.place(unpacked(upload, "flowers.zip", ""))
    upload.take_back()
    upload.remove()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_arrives_stays(tmp_path: Path, upload: Upload) -> None:
    left = tmp_path / f"{uploads.PREFIX}left"
    for remove in (lambda: remove_leftovers(tmp_path), lambda: Upload(tmp_path, "other.zip", MOST).remove()):
        left.mkdir()
        (left / "lock").touch()
        remove()
        assert not left.exists(), "at a start, and by the next upload"
    receive(upload, b"PK\x03\x04")


def test_an_operator_can_refuse_uploads() -> None:
    assert require_uploads(Settings(max_upload_gb=0.5)) == 5 * 10**8
    with pytest.raises(Denied, match=r"^this service takes no uploads: got one. Have the operator put the data set"):
        require_uploads(Settings(max_upload_gb=0))
