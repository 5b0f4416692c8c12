"""Which folders are splits and which are classes: read if that is certain, else refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.folders import describe, make_folders
from trainers.data.layout import find_role, find_splits
from trainers.recipe import RecipeError

FORM = "DIR/CLASS/*, or DIR/train/CLASS/* with DIR/val/CLASS/* or DIR/test/CLASS/* or both"


def refused(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        find_splits(str(path))
    return str(caught.value)


def in_splits(path: Path, *splits: str, count: int = 0) -> Path:
    """Make folders of the same two classes in each split, with some images in each."""
    return make_folders(path, *(f"{split}/{name}" for split in splits for name in ("cat", "dog")), count=count)


@pytest.mark.parametrize(
    "splits",
    [
        ("train", "val", "test"),
        ("Train", "Val", "Test"),
        ("TRAINING", "VALIDATION", "TESTING"),
        ("train", "valid", "test"),
        ("train", "dev", "test"),
        ("train", "eval", "test"),
        ("train", "val", "eval"),
        ("train_set", "val_set", "test_set"),
        ("trainset", "valset", "testset"),
        ("TrainData", "ValidationData", "TestData"),
        ("train2017", "val2017", "test2017"),
        ("01-train", "02-valid", "03-test"),
        ("seg_train", "seg_val", "seg_test"),
    ],
    ids="-".join,
)
def test_splits_are_read_under_the_names_that_people_give_them(tmp_path: Path, splits: tuple[str, ...]) -> None:
    train, validation, test = splits
    assert find_splits(str(in_splits(tmp_path, *splits))) == {"train": train, "val": validation, "test": test}


@pytest.mark.parametrize("other", ["Test", "valid", "eval", "holdout", "dev_images"])
def test_one_other_split_is_the_test_set_whatever_its_name(tmp_path: Path, other: str) -> None:
    said = describe(in_splits(tmp_path, "Training", other, count=10))
    assert said == (
        "40 images of 2 classes (cat, dog): 18 for training, 2 for validation, 20 for test; validation is held out "
        f"from Training, and {other} is the test set."
    )


def test_what_was_read_as_what_is_said(tmp_path: Path) -> None:
    assert describe(in_splits(tmp_path, "train", "valid", "Testing", count=10)).endswith(
        "20 for test; valid is read as val, Testing is read as test."
    )


@pytest.mark.parametrize(
    "splits",
    [
        ("Train", "train", "test"),
        ("Train", "Val", "extra"),
        ("TRAIN", "training"),
        ("Test", "Val"),
        ("dev", "eval", "holdout", "train"),
        ("unlabelled", "training"),
    ],
    ids="-".join,
)
def test_splits_that_are_not_certain_are_refused(tmp_path: Path, splits: tuple[str, ...]) -> None:
    assert refused(in_splits(tmp_path, *splits)) == (
        "an image folder in splits has train, and val or test or both, and no other, each with the class folders: got "
        f"{', '.join(sorted(splits))} in {tmp_path}. Give one with {FORM}. A class must hold its images, not folders."
    )


@pytest.mark.parametrize("tops", [("fold1", "fold2", "fold3"), ("amazon", "dslr", "webcam"), ("prueba", "trabajo")])
def test_folders_in_unknown_words_that_hold_the_same_classes_are_refused(tmp_path: Path, tops: tuple[str, ...]) -> None:
    names = ", ".join(tops)
    assert refused(in_splits(tmp_path, *tops)) == (
        f"the folders in an image folder must be splits or classes: got {names} in {tmp_path}, which hold cat, dog. "
        f"Name splits train, val and test; if {names} are the classes, put their images right into them. "
        f"Give a folder with {FORM}."
    )


def test_images_beside_their_masks_are_refused(tmp_path: Path) -> None:
    folders = (f"{name}/{kind}" for name in ("COVID", "Normal") for kind in ("images", "masks"))
    assert "got COVID, Normal in " in refused(make_folders(tmp_path, *folders, count=0))


@pytest.mark.parametrize(
    "folders",
    [
        ("Treino/a", "Treino/b", "Treino/c", "Teste/a", "Teste/b"),
        ("tr/a", "tr/b", "tr/c", "te/a", "te/b"),
        ("Treino", "Treino/a", "Treino/b", "Teste/a", "Teste/b"),
        ("fold1/a", "fold1/b", "fold2/b", "fold2/c", "fold3/a", "fold3/c", "fold3/b", "notes/x"),
    ],
    ids=["a class less", "short names", "stray images", "folds"],
)
def test_folders_in_unknown_words_that_share_classes_are_refused(tmp_path: Path, folders: tuple[str, ...]) -> None:
    said = refused(make_folders(tmp_path, *folders, count=1))
    assert said.startswith("the folders in an image folder must be splits or classes: got ")
    assert "Name splits train, val and test; if " in said


@pytest.mark.parametrize(
    "folders",
    [
        ("cat/train", "cat/test", "dog/train", "dog/test"),
        ("cat/Train", "cat/Valid", "dog/Train", "dog/Valid", "dog/Test"),
        ("images/train", "images/val", "labels/train", "labels/val"),
    ],
    ids=["same", "uneven", "labels"],
)
def test_splits_inside_classes_are_refused(tmp_path: Path, folders: tuple[str, ...]) -> None:
    assert "Splits hold classes, not the other way round." in refused(make_folders(tmp_path, *folders, count=0))


@pytest.mark.parametrize(
    "classes",
    [
        ("bus", "test", "train"),
        ("bus", "freight_train", "passenger_train"),
        ("Train", "station"),
        ("dev", "ops"),
        ("bus/city", "bus/coach", "tram/old", "tram/new"),
        ("n01/images", "n02/images"),
        ("rose/bud", "rose/leaf", "tulip/bud", "tulip/root", "lily/leaf", "lily/root"),
        ("cat", "cat/in", "cat/out", "dog", "dog/in", "dog/out"),
    ],
    ids=" ".join,
)
def test_classes_are_classes_whatever_their_names(tmp_path: Path, classes: tuple[str, ...]) -> None:
    assert find_splits(str(make_folders(tmp_path, *classes, count=1))) == {}


@pytest.mark.parametrize("names", [("test", "train"), ("Testing", "Training"), ("test", "train", "val")])
def test_splits_without_classes_are_read_as_classes_and_that_is_said(tmp_path: Path, names: tuple[str, ...]) -> None:
    said = describe(make_folders(tmp_path, *names))
    assert said.startswith(f"{10 * len(names)} images of {len(names)} classes ({', '.join(names)}): ")
    assert said.endswith(f"; {', '.join(names)} hold no class folders and are read as classes.")


def test_a_folder_around_a_data_set_is_looked_through(tmp_path: Path) -> None:
    in_splits(tmp_path / "unpacked", "train", "test")
    make_folders(tmp_path, "__MACOSX/train")
    assert describe(tmp_path) == (
        f"an image folder needs a folder for each of 2 classes or more: got 1 in {tmp_path}. Give "
        f"{tmp_path / 'unpacked'} instead, or a folder with {FORM}."
    )


@pytest.mark.parametrize("name", ["trains", "latest", "contest", "valley", "device", "train_test", "2017", "Ü"])
def test_other_words_are_no_splits(name: str) -> None:
    assert find_role(name) is None
