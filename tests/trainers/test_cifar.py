"""CIFAR in its own format, holding MNIST's images; the sums that torchvision knows are those of the files written."""

import functools
import hashlib
import io
import os
import pickle
import pickletools
import tarfile

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from tests.trainers.test_folder import PIXELS, write_classes
from trainers.data import cifar
from trainers.descriptors.cifar import WideResNetNumbers
from trainers.recipe import RecipeError

NUMBERS = WideResNetNumbers(batch=8)
LOAD = {10: cifar.load10, 100: cifar.load100}
CHECK = {10: cifar.check10, 100: cifar.check100}
IDENTIFY = {10: cifar.identify10, 100: cifar.identify100}
TRAIN, TEST = {10: 300, 100: 1000}, {10: 100, 100: 200}


class OldPickler(pickle._Pickler):
    """Pickles arrays as NumPy did under Python 2, with which CIFAR was published.

    Its dtypes had the argument 0, which NumPy 2.4.0 to 2.4.4 warn of; 2 is warned of by the later versions as well.
    """

    def reducer_override(self, value):
        if isinstance(value, np.dtype):
            return np.dtype, (value.str[1:], 2, 1), (3, "|", None, None, None, -1, -1, 0)
        return NotImplemented


def old_pickle(value):
    stream = io.BytesIO()
    OldPickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def colour_digits(rows):
    """Return MNIST images as CIFAR keeps its own: (N, 3072), a plane of 32 × 32 for each of three unlike channels."""
    grey = np.pad(PIXELS[rows], ((0, 0), (2, 2), (2, 2)))
    return np.stack([grey, 255 - grey, grey // 2], axis=1).reshape(-1, 3072)


@functools.cache
def files_of(classes):
    """Return the pickled content of every file of the data set, by name."""
    x = colour_digits(np.arange(TRAIN[classes] + TEST[classes]))
    y = np.arange(len(x)) % classes
    train, test = slice(0, TRAIN[classes]), slice(TRAIN[classes], None)
    if classes == 100:
        names = [f"class {label}" for label in range(100)]
        parts = {"train": train, "test": test}
        files = {name: {"fine_labels": y[rows].tolist(), "data": x[rows]} for name, rows in parts.items()}
        files["meta"] = {"fine_label_names": names, "coarse_label_names": []}
    else:
        parts = {f"data_batch_{part + 1}": slice(part * 60, part * 60 + 60) for part in range(5)} | {"test_batch": test}
        files = {name: {"labels": y[rows].tolist(), "data": x[rows]} for name, rows in parts.items()}
        files["batches.meta"] = {"label_names": [f"class {label}" for label in range(10)]}
    return {name: old_pickle(content) for name, content in files.items()}


def md5(content):
    return hashlib.md5(content).hexdigest()


def expect_the_files_written_here(monkeypatch):
    """Replace the sums of the published files that torchvision knows."""
    for kind, classes in ((CIFAR10, 10), (CIFAR100, 100)):
        files = files_of(classes)
        for part in ("train_list", "test_list"):
            monkeypatch.setattr(kind, part, [[name, md5(files[name])] for name, _ in getattr(kind, part)])
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(files[kind.meta["filename"]])})


@pytest.fixture(autouse=True)
def sums(monkeypatch):
    expect_the_files_written_here(monkeypatch)


def write(home, classes, files):
    folder = home / "data" / cifar.FOLDERS[classes]
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(params=[10, 100])
def classes(request):
    return request.param


@pytest.fixture
def folder(tmp_path, classes):
    return write(tmp_path, classes, files_of(classes))


def refused(classes, home, data=None):
    with pytest.raises(RecipeError) as caught:
        LOAD[classes](NUMBERS, data, home)
    return str(caught.value)


def damaged(classes, folder):
    return (
        f"CIFAR-{classes} must be as it was published: got missing or damaged files in {folder}. Fetch it again with "
        f"--download, or unpack cifar-{classes}-python.tar.gz in {folder.parent} again."
    )


def test_the_files_written_here_are_as_python_2_wrote_them(classes):
    content = next(iter(files_of(classes).values()))
    operations = [(operation.name, value) for operation, value, _ in pickletools.genops(content)]
    assert ("GLOBAL", "numpy.core.multiarray _reconstruct") in operations
    with pytest.warns(np.exceptions.VisibleDeprecationWarning, match="align"):
        pickle.loads(content)


def test_train_is_split_9_to_1_within_every_class_and_test_is_whole(folder, tmp_path, classes):
    images = LOAD[classes](NUMBERS, None, tmp_path)
    assert (len(images.train_y), len(images.validation_y)) == (TRAIN[classes] * 9 // 10, TRAIN[classes] // 10)
    assert np.bincount(images.train_y).tolist() == [TRAIN[classes] // classes * 9 // 10] * classes
    assert np.bincount(images.validation_y).tolist() == [TRAIN[classes] // classes // 10] * classes
    assert images.test_y.tolist() == (np.arange(TEST[classes]) % classes).tolist()
    assert images.classes == classes
    assert images.source == f"CIFAR-{classes} under {tmp_path / 'data'}"


def test_pixels_keep_their_places_channels_and_labels(folder, tmp_path, classes):
    images = LOAD[classes](NUMBERS, None, tmp_path)
    expected = colour_digits(np.arange(TRAIN[classes] + TEST[classes])).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert images.shape == (3, 32, 32)
    assert images.train_x.dtype == np.uint8
    assert (images.test_x == expected[TRAIN[classes] :]).all()
    rows = {image.tobytes(): row for row, image in enumerate(expected)}
    x, y = np.concatenate([images.train_x, images.validation_x]), np.concatenate([images.train_y, images.validation_y])
    found = [rows[image.tobytes()] for image in x]
    assert sorted(found) == list(range(TRAIN[classes]))
    assert [row % classes for row in found] == y.tolist()


def test_every_split_is_capped(folder, tmp_path, classes):
    images = LOAD[classes](WideResNetNumbers(batch=8, subset=20), None, tmp_path)
    assert [len(y) for y in (images.train_y, images.validation_y, images.test_y)] == [20, 20, 20]


def test_an_absent_data_set_is_refused_with_what_to_put_where(tmp_path, classes):
    data = tmp_path / "data"
    assert refused(classes, tmp_path) == (
        f"CIFAR-{classes} must be at {data / cifar.FOLDERS[classes]}: got no such folder. Fetch it with --download, "
        f"unpack cifar-{classes}-python.tar.gz in {data}, or give your own images with --data."
    )


def test_one_data_set_is_not_taken_for_the_other(tmp_path):
    write(tmp_path, 10, files_of(10))
    assert refused(100, tmp_path).startswith("CIFAR-100 must be at ")


@pytest.mark.parametrize("member", range(3))
def test_a_missing_file_is_told_apart_from_an_absent_data_set(folder, tmp_path, classes, member):
    sorted(folder.iterdir())[member].unlink()
    assert refused(classes, tmp_path) == damaged(classes, folder)


def test_an_empty_folder_is_no_data_set(tmp_path, classes):
    folder = write(tmp_path, classes, {})
    assert refused(classes, tmp_path) == damaged(classes, folder)


class Bomb:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_file_of_another_sum_is_refused_and_never_unpickled(folder, tmp_path, classes):
    for name, content in files_of(classes).items():
        fired = tmp_path / f"fired by {name}"
        bomb = pickle.dumps(Bomb(fired), protocol=2)
        (folder / name).write_bytes(bomb)
        assert refused(classes, tmp_path) == damaged(classes, folder)
        assert not fired.exists()
        pickle.loads(bomb)
        assert fired.exists()  # the bomb was a real one
        (folder / name).write_bytes(content)
    assert LOAD[classes](NUMBERS, None, tmp_path).classes == classes


def test_other_files_in_the_folder_are_never_unpickled(folder, tmp_path, classes):
    fired = tmp_path / "fired"
    for name in ("readme.html", "data_batch_6", "zzz.pkl"):
        (folder / name).write_bytes(pickle.dumps(Bomb(fired)))
    LOAD[classes](NUMBERS, None, tmp_path)
    assert not fired.exists()


def test_a_file_cut_short_is_refused(folder, tmp_path, classes):
    file = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    file.write_bytes(file.read_bytes()[:-100])
    assert refused(classes, tmp_path) == damaged(classes, folder)


def test_images_of_ones_own_come_first(folder, tmp_path, classes):
    file = str(tmp_path / "own.npz")
    np.savez(file, x=np.zeros((40, 2, 2, 3), np.uint8), y=np.arange(40) % 2)
    images = LOAD[classes](NUMBERS, file, tmp_path)
    assert (images.source, images.classes) == (file, 2)
    assert CHECK[classes](NUMBERS, file).startswith("40 images of 2 classes: ")
    write_classes(tmp_path / "own", ["a", "b", "c"], 10, mode="RGB")
    assert LOAD[classes](NUMBERS, str(tmp_path / "own"), tmp_path).train_x.shape == (24, 32, 32, 3)
    assert CHECK[classes](NUMBERS, str(tmp_path / "own")).startswith("30 images of 3 classes (a, b, c): ")


def test_a_check_refuses_what_loading_would_refuse(tmp_path, classes):
    missing = str(tmp_path / "missing.npz")
    with pytest.raises(RecipeError) as caught:
        CHECK[classes](NUMBERS, missing)
    assert str(caught.value) == refused(classes, tmp_path, missing)
    assert "--data must name an existing .npz file" in str(caught.value)


def test_the_identity_tells_absent_whole_and_damaged_apart(tmp_path, classes):
    absent = IDENTIFY[classes](tmp_path)
    folder = write(tmp_path, classes, files_of(classes))
    whole = IDENTIFY[classes](tmp_path)
    next(folder.iterdir()).unlink()
    assert len({absent, whole, IDENTIFY[classes](tmp_path)}) == 3
    assert absent == "absent"
    assert whole.startswith(f"cifar-{classes} ")


def archive_of(classes, files):
    """Return the data set as it is published: a compressed tar file with one folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{cifar.FOLDERS[classes]}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
