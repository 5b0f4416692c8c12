"""ImageNet's folders, holding real digits: what is listed, what is missing, and ImageNetV2's numeric names."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from tests.trainers.test_folder import LABELS, PIXELS, write_classes
from trainers.data import imagenet
from trainers.descriptors.imagenet_resnet18 import ImageNetNumbers
from trainers.recipe import RecipeError

WNIDS = [f"n{number:08}" for number in (1440764, 1443537, 2)] + [f"n9{number:07}" for number in range(9)]  # 12 of them
V2 = ("imagenetv2-matched-frequency", "imagenetv2-threshold0.7", "imagenetv2-top-images")


def numbers(**changes):
    return ImageNetNumbers(**{"batch": 8, "devices": 1, "imagenet_v2": True, **changes})


def write_train_and_val(root, wnids=WNIDS, train=5, val=2):
    """Write classes in the order of their sorted names, so that class k holds digits k mod 10."""
    write_classes(root / "train", sorted(wnids), train, suffix=".JPEG")
    write_classes(root / "val", sorted(wnids), val, suffix=".JPEG", first=train)


def write_v2(root, name, classes=12, per_class=1):
    write_classes(root / name, [str(number) for number in range(classes)], per_class, suffix=".jpeg", first=10)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data" / "imagenet"
    write_train_and_val(root)
    for name in V2:
        write_v2(root, name + imagenet.SUFFIX)
    return root


def refused(home, data=None, **changes):
    """Return what loading says, once a check has said the same."""
    with pytest.raises(RecipeError) as loading:
        imagenet.load(numbers(**changes), data, home)
    with pytest.raises(RecipeError) as checking:
        imagenet.check(numbers(**changes), data or str(home / "data" / "imagenet"))
    assert str(loading.value) == str(checking.value)
    return str(loading.value)


def digit_of(path):
    """Return which digit an image file shows; its name is its row in MNIST."""
    return int(LABELS[int(os.path.basename(path).split(".")[0])])


def test_train_and_val_are_listed_as_torchvision_lists_them(root, tmp_path):
    folders = imagenet.load(numbers(), None, tmp_path)
    for files, theirs in ((folders.train, root / "train"), (folders.validation, root / "val")):
        assert [(files.path(row), int(files.labels[row])) for row in range(len(files))] == ImageFolder(theirs).samples
    assert (len(folders.train), len(folders.validation), folders.classes) == (60, 24, 12)
    assert (folders.source, folders.train.labels.dtype) == (str(root), np.int64)


@pytest.mark.parametrize("suffix", ["", imagenet.SUFFIX])
def test_the_folders_of_imagenet_v2_are_the_places_of_their_classes_as_numbers(root, tmp_path, suffix):
    for name in V2:
        (root / (name + imagenet.SUFFIX)).rename(root / (name + suffix))
    folders = imagenet.load(numbers(), None, tmp_path)
    assert tuple(folders.tests) == V2
    for files in folders.tests.values():
        assert files.labels.tolist() == list(range(12))
        assert [digit_of(files.path(row)) for row in range(12)] == [label % 10 for label in range(12)]
    assert ImageFolder(root / (V2[0] + suffix)).class_to_idx["10"] == 2  # the trap


def test_each_test_set_is_its_own(root, tmp_path):
    write_v2(root, "more", per_class=3)
    (root / (V2[1] + imagenet.SUFFIX)).rename(tmp_path / "moved")
    (root / "more").rename(root / V2[1])
    folders = imagenet.load(numbers(), None, tmp_path)
    assert [len(files) for files in folders.tests.values()] == [12, 36, 12]
    assert all(name in files.path(0) for name, files in folders.tests.items())


def test_without_imagenet_v2_the_validation_set_is_the_test_set(tmp_path):
    write_train_and_val(tmp_path)
    folders = imagenet.load(numbers(imagenet_v2=False), str(tmp_path), tmp_path)
    assert tuple(folders.tests) == ("validation",)
    assert folders.split("validation") is folders.validation
    assert (folders.tests["validation"].names == folders.validation.names).all()


def test_a_cap_holds_for_every_split_and_keeps_the_proportions(root, tmp_path):
    folders = imagenet.load(numbers(subset=12), None, tmp_path)
    for files in (folders.train, folders.validation, *folders.tests.values()):
        assert files.labels.tolist() == list(range(12))
    fewer = imagenet.load(numbers(subset=11), None, tmp_path)
    assert [len(files) for files in (fewer.train, fewer.validation, *fewer.tests.values())] == [11] * 5
    again = imagenet.load(numbers(subset=12), None, tmp_path)
    other = imagenet.load(numbers(subset=12, split_seed=1), None, tmp_path)
    assert (again.train.names == folders.train.names).all()
    assert (other.train.names != folders.train.names).any()


def test_all_that_is_missing_is_said_at_once(tmp_path):
    folder = tmp_path / "data" / "imagenet"
    assert refused(tmp_path) == (
        f"ImageNet needs folders of classes: got none in train, val, {', '.join(V2)} of {folder}. "
        "Put the images of ILSVRC2012 (image-net.org) there as train/WNID/*.JPEG and val/WNID/*.JPEG; val is published "
        "without folders, so sort its images into those of train. Unpack the archives of ImageNetV2 there (as NAME or "
        "NAME-format-val), or leave it out (--set imagenet_v2=false)."
    )


def test_what_is_there_is_not_said_to_be_missing(root, tmp_path):
    (root / (V2[2] + imagenet.SUFFIX)).rename(tmp_path / "moved")
    said = refused(tmp_path)
    assert said.startswith(f"ImageNet needs folders of classes: got none in {V2[2]} of {root}. Unpack the archives")
    assert "ILSVRC" not in said


def test_a_val_folder_of_loose_images_as_it_is_published_is_refused(root, tmp_path):
    (root / "val").rename(tmp_path / "moved")
    (root / "val").mkdir()
    Image.fromarray(PIXELS[0]).save(root / "val" / "ILSVRC2012_val_00000001.JPEG")
    said = refused(tmp_path)
    assert said.startswith(f"ImageNet needs folders of classes: got none in val of {root}. Put the images")
    assert "ImageNetV2" not in said


def test_classes_that_differ_between_train_and_val_are_named(root, tmp_path):
    (root / "val" / WNIDS[0]).rename(root / "val" / "n7")
    assert refused(tmp_path) == (
        f"every split must have the class folders of train: got 1 more (n7) and 1 fewer ({WNIDS[0]}) in "
        f"{root / 'val'}. Rename, add or remove folders."
    )


@pytest.mark.parametrize(
    ("change", "got"),
    [(("11", "12"), "12, 0, 1, 2, 3, 4"), (("0", "n0"), "12, 1, 10, 11, 2, 3"), (("3", None), "11, 0, 1, 2, 4, 5")],
    ids=["another class", "no number", "fewer"],
)
def test_other_folders_in_imagenet_v2_are_refused(root, tmp_path, change, got):
    folder = root / (V2[0] + imagenet.SUFFIX)
    (folder / change[0]).rename(folder / change[1] if change[1] else tmp_path / "moved")
    assert refused(tmp_path) == (
        f"ImageNetV2 must have a folder for each class of train, 0 to 11: got {got}, …, in {folder}. "
        "Unpack it again, or leave it out (--set imagenet_v2=false)."
    )


def test_an_empty_class_is_named(root, tmp_path):
    for file in (root / "train" / WNIDS[1]).iterdir():
        file.rename(file.with_suffix(".txt"))
    with pytest.raises(RecipeError, match=rf"got none in {WNIDS[1]} of {root / 'train'} \("):
        imagenet.load(numbers(), None, tmp_path)


def test_too_few_images_for_a_batch_are_refused(root, tmp_path):
    with pytest.raises(RecipeError, match=r"must fill a batch: got 60 of .* for batch=61"):
        imagenet.load(numbers(batch=61), None, tmp_path)
    assert "must fill a batch: got 7 of " in refused(tmp_path, subset=7)


def test_a_check_needs_no_torch_and_takes_what_loading_takes(root):
    program = f"""
import sys
from trainers.data import imagenet
from trainers.descriptors.imagenet_resnet18 import ImageNetNumbers
imagenet.check(ImageNetNumbers(batch=8), {str(root)!r})
print(sorted({{"torch", "torchvision", "ray"}} & set(sys.modules)))
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"


def test_the_identity_changes_with_classes_and_sets(root, tmp_path):
    found = [imagenet.identify(tmp_path)]
    (root / (V2[0] + imagenet.SUFFIX)).rename(tmp_path / "moved")
    found.append(imagenet.identify(tmp_path))
    (root / "train" / WNIDS[0]).rename(root / "train" / "n7")
    found.append(imagenet.identify(tmp_path))
    root.rename(tmp_path / "gone")
    found.append(imagenet.identify(tmp_path))
    assert len(set(found)) == 4
    assert found[-1] == "absent"


def test_the_files_of_a_million_images_take_about_their_names(root, tmp_path):
    files = imagenet.load(numbers(), None, tmp_path).train
    assert len(pickle.dumps(files)) < 600 + len(files) * (files.names.dtype.itemsize + 8)
    assert files.names.dtype.itemsize == len(f"{WNIDS[0]}/0001.JPEG")
