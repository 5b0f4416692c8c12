"""What lies in image folders besides images is left out, counted and said; links never mix classes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.trainers.folders import describe, make_folders
from trainers.data.folder import list_files
from trainers.data.listing import Listing
from trainers.recipe import RecipeError

COUNTS = "20 images of 2 classes (a, b): 16 for training, 2 for validation, 2 for test"


@pytest.mark.parametrize("suffix", [".gif", ".jfif", ".heic", ".GIF", ".npy"])
def test_files_that_are_not_read_are_counted_by_their_suffix(tmp_path: Path, suffix: str) -> None:
    make_folders(tmp_path, "a", "b")
    make_folders(tmp_path, "a", suffix=suffix, count=12)
    assert describe(tmp_path) == f"{COUNTS}; 12 files left out: 12 {suffix.lower()}."


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("a/.DS_Store", "hidden"),
        ("a/._0.png", "hidden"),
        ("b/Thumbs.db", ".db"),
        ("b/desktop.ini", ".ini"),
        ("b/README", "without a suffix"),
        ("labels.csv", ".csv"),
        ("stray.png", ".png outside the class folders"),
        (".DS_Store", "hidden"),
    ],
)
def test_one_file_that_is_not_read_is_said(tmp_path: Path, file: str, kind: str) -> None:
    (make_folders(tmp_path, "a", "b") / file).touch()
    assert describe(tmp_path) == f"{COUNTS}; 1 file left out: 1 {kind}."


@pytest.mark.parametrize("folder", ["__MACOSX", ".git", "a/@eaDir", "b/__pycache__", "System Volume Information"])
def test_folders_of_other_programs_are_left_out(tmp_path: Path, folder: str) -> None:
    make_folders(tmp_path, "a", "b", folder)
    assert describe(tmp_path) == f"{COUNTS}; folders left out: {folder.split('/')[-1]}."


def test_all_that_is_left_out_is_said_together_most_first(tmp_path: Path) -> None:
    make_folders(tmp_path, "train/a", "train/b", "test/a", "test/b", "a/@eaDir", "train/a/@eaDir", "test/b/@eaDir")
    make_folders(tmp_path, "__MACOSX")
    (tmp_path / "a" / "@eaDir").rename(tmp_path / "@eaDir")
    (tmp_path / "a").rmdir()
    make_folders(tmp_path, "test/a", suffix=".gif", count=3)
    for file in ("train/flat.png", "test/flat.jpg", "notes.txt"):
        (tmp_path / file).touch()
    assert describe(tmp_path).endswith(
        "; 6 files left out: 3 .gif, 1 .txt, 1 .png outside the class folders, 1 .jpg outside the class folders; "
        "folders left out: @eaDir (3), __MACOSX."
    )


def test_a_class_whose_files_are_all_left_out_is_refused_with_them(tmp_path: Path) -> None:
    make_folders(tmp_path, "a", "b")
    make_folders(tmp_path, "c", suffix=".jfif")
    assert f"got none in c of {tmp_path} (10 files left out: 10 .jfif). Add images" in describe(tmp_path)


@pytest.mark.parametrize("suffix", [".JPG", ".Jpeg", ".PNG", ".TIFF", ".WebP"])
def test_suffixes_are_read_in_any_case(tmp_path: Path, suffix: str) -> None:
    assert describe(make_folders(tmp_path, "a", "b", suffix=suffix)) == f"{COUNTS}."


def test_a_class_that_is_in_no_split_but_training_is_said(tmp_path: Path) -> None:
    make_folders(tmp_path, "a", "b")
    make_folders(tmp_path, "c", count=1)
    assert describe(tmp_path) == (
        "21 images of 3 classes (a, b, c): 17 for training, 2 for validation, 2 for test; no validation image of c; "
        "no test image of c."
    )


# Links


@pytest.mark.parametrize("target", [".", "..", "../.."])
@pytest.mark.parametrize("link", ["a/loop", "c"])
def test_a_link_to_a_folder_around_the_data_set_is_refused(tmp_path: Path, target: str, link: str) -> None:
    data = make_folders(tmp_path / "x" / "y", "a", "b")
    (data / link).symlink_to((data / target).resolve())
    assert describe(data) == (
        f"every image must be in one class of one split: got {data / link}, a link to {(data / target).resolve()}, "
        "which holds the data set itself. Remove the link."
    )


@pytest.mark.parametrize(
    ("link", "target", "got", "other"),
    [
        ("single/a/more", "single/b", "single/a/more", "single/b"),
        ("single/c", "single/b", "single/c", "single/b"),
        ("split/val", "split/train", "split/val/a", "split/train/a"),
        ("split/train/a/more", "split/test/a", "split/train/a/more", "split/test/a"),
    ],
    ids=["within a class", "a class", "a split", "across splits"],
)
def test_a_link_that_puts_images_into_two_classes_or_splits_is_refused(
    tmp_path: Path, link: str, target: str, got: str, other: str
) -> None:
    make_folders(tmp_path, "single/a", "single/b", "split/train/a", "split/train/b", "split/test/a", "split/test/b")
    (tmp_path / link).symlink_to(tmp_path / target)
    assert describe(tmp_path / link.split("/")[0]) == (
        f"every image must be in one class of one split: got {tmp_path / got}, which leads to {tmp_path / other}. "
        "Remove the link or the folder."
    )


def test_links_within_a_class_and_links_to_nothing_are_left_out(tmp_path: Path) -> None:
    make_folders(tmp_path, "a", "a/deep", "b", count=5)
    make_folders(tmp_path, "b", count=10)
    (tmp_path / "a" / "deep" / "up").symlink_to(tmp_path / "a")
    for link in ("a/self", "self", "gone"):
        (tmp_path / link).symlink_to(tmp_path / link)
    assert describe(tmp_path) == (
        f"{COUNTS}; 3 files left out: 3 without a suffix; folders left out: links back into a class."
    )


# Names and faults


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        list_files(str(tmp_path), ["gone"])
    assert str(caught.value) == (
        f"every folder of a data set must be readable: got {tmp_path / 'gone'} (No such file or directory). Change its "
        "permissions, or remove it."
    )


def test_names_that_are_no_text_are_said_as_text(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"th\xe9"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
    said = describe(tmp_path)
    assert said.encode()
    assert r"got none in caf\udce9, th\udce9" in said


def test_a_listing_that_was_not_told_the_classes_follows_links_to_files(tmp_path: Path) -> None:
    make_folders(tmp_path, "a", "b", count=2)
    (tmp_path / "a" / "9.png").symlink_to(tmp_path / "b" / "0.png")
    assert Listing(str(tmp_path)).images(str(tmp_path), "a") == ["a/0.png", "a/1.png", "a/9.png"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cat", "cat"), ("cat", "cat "), ("1", "01"), ("caf\u00e9", "cafe\u0301")],
    ids=["case", "space", "zero", "accent"],
)
def test_classes_that_look_alike_are_said_and_told_where_splits_differ(tmp_path: Path, one: str, other: str) -> None:
    make_folders(tmp_path / "both", one, other)
    assert describe(tmp_path / "both").endswith(" differ only in case, spaces, zeros or the form of accents.")
    make_folders(tmp_path / "split", f"train/{one}", "train/dog", f"val/{other}", "val/dog")
    assert ". Some differ only in case, spaces, zeros or the form of accents. Rename" in describe(tmp_path / "split")
