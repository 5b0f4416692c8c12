"""What was sent as a data set is unpacked and checked in a child with limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.archives import arrays, class_folders, pack
from trainers import inspection, unpacking
from trainers.recipe import RecipeError
from trainers.unpacking import NoRoom, Unpacked, unpack

MOST = 10**6


def sent(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "received"
    file.write_bytes(content)
    return file


def test_an_archive_becomes_a_folder_beside_it(tmp_path: Path) -> None:
    files = class_folders("flowers/")
    found = unpack(sent(tmp_path, pack(files)), "flowers.zip", MOST)
    assert found == Unpacked(tmp_path / "unpacked", sum(map(len, files.values())), classes=2)
    assert sorted(path.name for path in found.path.iterdir()) == ["rose", "tulip"]


def test_arrays_stay_where_they_are(tmp_path: Path) -> None:
    content = arrays()
    found = unpack(sent(tmp_path, content), "digits.npz", MOST)
    assert found == Unpacked(tmp_path / "received", len(content), classes=3)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("flowers.zip", pack({"a.png": b""}), "needs a folder for each of 2 classes or more: got 0 in flowers."),
        ("one.zip", pack(class_folders(classes="a", count=1)), "got 1 in one."),
        ("flowers.zip", pack({**class_folders(), "../x": b""}), "must lie below its own folder"),
        ("flowers.npz", pack(class_folders()), "must hold x and y: got rose/0.png, rose/1.png"),
        ("flowers.npz", pack(class_folders()), "an archive of image files, name it flowers.zip."),
    ],
    ids=["no classes", "one class", "outside", "no arrays", "images"],
)  # fmt: skip
def test_what_is_no_data_set_is_refused_by_its_name_alone(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        unpack(sent(tmp_path, content), name, MOST)
    assert said in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_what_the_disk_has_no_room_for_is_told_from_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(
        NoRoom, match=r"must have room for all files of an archive: got too little for flowers.zip. Ask"
    ):
        unpack(sent(tmp_path, pack(class_folders())), "flowers.zip", MOST, left_free=2**62)
    assert [path.name for path in tmp_path.iterdir()] == ["received"]


def test_a_check_that_does_not_end_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "SECONDS", 0)
    with pytest.raises(RecipeError, match=r"^a data set must be unpacked and checked within 0 s and 2.1 GB of memory"):
        unpack(sent(tmp_path, arrays()), "digits.npz", MOST)


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (["a", "b", ".hidden"], 2),
        (["train/a", "train/b", "train/c", "val/a"], 3),
        (["train/a", "test/b", "bus/c"], 3),
        (["train/a"], 1),
    ],
)
def test_classes_are_counted_by_their_folders(tmp_path: Path, folders: list[str], classes: int) -> None:
    for name in folders:
        (tmp_path / name).mkdir(parents=True)
    assert unpacking.count_classes(tmp_path) == classes
