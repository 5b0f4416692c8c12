"""Archives are unpacked as they should be, or refused before a file is written."""

from __future__ import annotations

import contextlib
import io
import shutil
import stat
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.trainers.archives import class_folders, member, pack
from trainers.data import archive, folder
from trainers.recipe import RecipeError

MOST = 10**6
ROSES = class_folders()


def unpack(tmp_path: Path, content: bytes, most: int = MOST) -> list[str]:
    """Unpack an archive; return the paths of its files."""
    (tmp_path / "sent").write_bytes(content)
    archive.unpack(tmp_path / "sent", tmp_path / "out", "flowers.zip", most)
    return sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file())


def refusal(tmp_path: Path, content: bytes, most: int = MOST) -> str:
    """Return why an archive is refused, having seen that nothing of it was written."""
    with pytest.raises(RecipeError) as caught:
        unpack(tmp_path, content, most)
    assert not (tmp_path / "out").exists()
    assert str(tmp_path) not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("method", archive.METHODS)
def test_files_are_unpacked_whatever_they_are_packed_with(tmp_path: Path, method: int) -> None:
    assert unpack(tmp_path, pack(ROSES, method=method)) == sorted(ROSES)
    assert (tmp_path / "out/rose/0.png").read_bytes() == ROSES["rose/0.png"]
    assert folder.list_folders(str(tmp_path / "out")) == ["rose", "tulip"]


@pytest.mark.parametrize("prefix", ["flowers/", "my data/flowers/", "./flowers/", "flowers\\"])
def test_folders_that_hold_everything_else_are_left_out(tmp_path: Path, prefix: str) -> None:
    packed = class_folders(prefix) | {f"{prefix}README.txt": b"roses", "__MACOSX/flowers/._rose": b"x"}
    assert unpack(tmp_path, pack(packed)) == ["README.txt", *sorted(ROSES)]


@pytest.mark.parametrize(
    "beside",
    ["README.txt", "@eaDir/flowers/x.png", "lost+found/x", "__pycache__/x.pyc", "System Volume Information/x.png"],
)
def test_what_lies_beside_the_folder_of_everything_else_is_left_out(tmp_path: Path, beside: str) -> None:
    assert unpack(tmp_path, pack({beside: b"x"} | class_folders("my data/flowers/"))) == sorted(ROSES)


@pytest.mark.parametrize("beside", ["stray.png", "notes/x.txt", "notes/x.png"])
def test_images_and_folders_beside_a_folder_are_not_left_out(tmp_path: Path, beside: str) -> None:
    files = {beside: b"x"} | class_folders("flowers/")
    assert unpack(tmp_path, pack(files)) == sorted(files)


def test_a_class_without_images_is_not_left_out(tmp_path: Path) -> None:
    files = {"flowers/tulip/x.txt": b"x"} | class_folders("flowers/rose/")
    assert unpack(tmp_path, pack(files)) == sorted(path.removeprefix("flowers/") for path in files)


def test_splits_are_kept(tmp_path: Path) -> None:
    splits = class_folders("set/train/") | class_folders("set/val/")
    assert unpack(tmp_path, pack(splits)) == sorted(path.removeprefix("set/") for path in splits)


def test_what_systems_add_is_left_out(tmp_path: Path) -> None:
    added = dict.fromkeys(
        ["__MACOSX/rose/._0.png", "rose/.DS_Store", ".git/HEAD", "tulip/Thumbs.db", "rose/@eaDir/x", "rose/"], b""
    )
    assert unpack(tmp_path, pack(ROSES | added)) == sorted(ROSES)


def test_names_of_every_script_are_kept_with_and_without_a_flag(tmp_path: Path) -> None:
    named = class_folders(classes=("バラ", "Gänseblümchen"))
    packed = pack(named)
    assert unpack(tmp_path, packed) == sorted(named)
    (tmp_path / "again").mkdir()
    assert unpack(tmp_path / "again", without_flag(packed)) == sorted(named), "as macOS packs it"


def without_flag(content: bytes) -> bytes:
    """Take the flag away that says that names are UTF-8."""
    changed = bytearray(content)
    for magic, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        place = changed.find(magic)
        while place >= 0:
            changed[place + offset] &= ~0x08
            place = changed.find(magic, place + 1)
    return bytes(changed)


@pytest.mark.parametrize(
    "name", ["../evil.png", "rose/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png", "__MACOSX/../../x"]
)
def test_files_outside_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    said = refusal(tmp_path, pack(ROSES | {name: b"evil"}))
    assert said.startswith("the files in an archive must lie below its own folder: got ")
    assert not (tmp_path.parent / "evil.png").exists()


@pytest.mark.parametrize(
    ("mode", "kind"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "a device, pipe"), (stat.S_IFCHR, "a device, pipe")]
)
def test_what_is_no_ordinary_file_is_refused(tmp_path: Path, mode: int, kind: str) -> None:
    said = refusal(tmp_path, pack(ROSES, member("rose/odd.png", mode | 0o777)))
    assert said.startswith(f"an archive must hold ordinary files: got {kind}")
    assert said.endswith("'rose/odd.png', in flowers.zip. Pack the files themselves.")


@pytest.mark.parametrize("again", ["rose/0.png", "./rose/0.png", "rose//0.png", "rose\\0.png", "rose/0.png/x.png"])
def test_a_name_that_stands_for_two_files_is_refused(tmp_path: Path, again: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of what it writes
        packed = pack(ROSES, member(again))
    assert refusal(tmp_path, packed) == (
        "a name in an archive must stand for one file: got 'rose/0.png' twice in flowers.zip. Rename one."
    )


def test_more_than_there_is_room_for_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = pack({"rose/0.png": bytes(2 * MOST)}, method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < MOST / 100
    assert refusal(tmp_path, bomb) == (
        "the files in an archive may have at most 0.001 GB together, unpacked: got more in flowers.zip. "
        "Pack fewer or smaller images."
    )
    halves = pack({f"rose/{part}.png": bytes(MOST // 2 + 1) for part in "ab"}, method=zipfile.ZIP_DEFLATED)
    assert "got more in flowers.zip" in refusal(tmp_path, halves)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", len(ROSES) + 1)
    said = "an archive may hold at most 21 files and folders: got more in flowers.zip. Pack fewer."
    assert refusal(tmp_path, pack(ROSES)) == said
    assert refusal(tmp_path, pack({"rose/" + "a/" * 21: b""})) == said, "without a file"


def test_deep_folders_count_as_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 100)
    deep = {f"{number}/" + "a/" * 30 + "x.png": b"" for number in range(4)}
    assert "at most 100 files and folders: got more in flowers.zip" in refusal(tmp_path, pack(deep))
    assert len(unpack(tmp_path, pack(dict(list(deep.items())[:3])))) == 3


@pytest.mark.parametrize(("free", "fits"), [(2 * archive.BLOCK + 99, False), (2 * archive.BLOCK + 100, True)])
def test_files_take_whole_blocks_and_leave_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    (tmp_path / "sent").write_bytes(pack({"rose/0.png": b"1", "rose/1.png": b"2"}))
    refused = contextlib.nullcontext() if fits else pytest.raises(OSError, match="No space left")
    with refused:
        archive.unpack(tmp_path / "sent", tmp_path / "out", "flowers.zip", MOST, left_free=100)
    assert (tmp_path / "out").exists() is fits


def test_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    latin = without_flag(pack(ROSES | {"Gxnse/0.png": b""}).replace(b"Gxnse", "Gänse".encode("latin-1")))
    assert refusal(tmp_path, latin) == (
        "the names in an archive must be UTF-8: got b'G\\xe4nse/0.png' in flowers.zip. "
        "Rename the file, or pack the archive with a program that writes UTF-8."
    )


@pytest.mark.parametrize(("name", "rule"), [("rose/\x1b[2J.png", "no control"), ("x" * 256, "at most 255 bytes each")])
def test_names_that_no_disk_takes_or_no_terminal_shows_are_refused(tmp_path: Path, name: str, rule: str) -> None:
    assert rule in refusal(tmp_path, pack(ROSES | {name: b""}))
    assert "at most 32 folders deep" in refusal(tmp_path, pack(ROSES | {"a/" * 33 + "x.png": b""}))


@pytest.mark.parametrize(
    ("offsets", "value", "said"),
    [
        ((6, 8), 1, "an archive must need no password: got an encrypted flowers.zip. Pack it without one."),
        ((8, 10), 99, "an archive must be stored, or compressed with deflate, bzip2 or LZMA: got method 99 in "),
    ],
)
def test_what_nothing_here_reads_is_refused(tmp_path: Path, offsets: tuple[int, int], value: int, said: str) -> None:
    packed = bytearray(pack(ROSES))
    for magic, offset in zip((b"PK\x03\x04", b"PK\x01\x02"), offsets, strict=True):
        packed[packed.find(magic) + offset] = value
    assert refusal(tmp_path, bytes(packed)).startswith(said)


def test_damage_is_refused_with_what_is_damaged(tmp_path: Path) -> None:
    packed = pack(ROSES)
    with pytest.raises(RecipeError, match=r"undamaged .zip: got flowers.zip \(Bad CRC-32 for file 'rose/0.png'\)"):
        unpack(tmp_path, packed.replace(b"IHDR", b"IHDX"))
    for bad in (packed[: len(packed) // 2], b"PK\x03\x04", b"Rar!", b""):
        with pytest.raises(RecipeError, match=r"^an archive must be an undamaged .zip: got flowers.zip"):
            unpack(tmp_path, bad)


@pytest.mark.parametrize("files", [{}, {"rose/": b""}, {"__MACOSX/x": b"", ".hidden": b""}], ids=str)
def test_an_archive_of_nothing_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert refusal(tmp_path, pack(files)) == (
        "an archive must hold files: got none in flowers.zip. Pack folders of images."
    )


def test_archives_that_were_written_as_a_stream_are_unpacked(tmp_path: Path) -> None:
    class Stream(io.RawIOBase):
        """Takes bytes and cannot go back, so that sizes follow the files."""

        content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            Stream.content += bytes(data)
            return len(data)

    with zipfile.ZipFile(Stream(), "w") as packed:
        for name, data in ROSES.items():
            packed.writestr(name, data)
    assert unpack(tmp_path, Stream.content) == sorted(ROSES)


def test_files_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """As in bombs that unpack to much more than they declare; see https://github.com/python/cpython/issues/109858."""
    packed = bytearray(pack({"rose/0.png": b"0" * 99, "rose/1.png": b"0" * 99}))
    second = packed.rfind(b"PK\x01\x02")
    packed[second + 42 : second + 46] = bytes(4)  # where its bytes are said to be
    with pytest.raises(RecipeError, match=r"^an archive must be an undamaged .zip: got flowers.zip \("):
        unpack(tmp_path, bytes(packed))
