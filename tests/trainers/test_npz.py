"""Files of one's own: real files of every malformed kind are refused with what is wrong with them."""

import os
import zipfile

import numpy as np
import pytest

from trainers.data import npz
from trainers.recipe import RecipeError

FORM = "x uint8 [N,H,W] or [N,H,W,C] and y integers [N], e.g. numpy.savez(file, x=x, y=y)"
X = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
Y = np.array([0, 1, 0, 1])


@pytest.fixture
def file(tmp_path):
    return tmp_path / "images.npz"


def refused(path):
    with pytest.raises(RecipeError) as caught:
        npz.read(path)
    return str(caught.value)


def no_npz(path, reason):
    return f"--data must be an .npz file without pickles: got {path} ({reason}). Give {FORM}."


@pytest.mark.parametrize("x", [X, X[..., None]], ids=["grey", "colour"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_and_labels_are_read_as_they_were_saved(file, x, save):
    save(file, x=x, y=Y.astype(np.uint8))
    read_x, read_y = npz.read(file)
    assert (read_x == x).all()
    assert (read_y == Y).all()
    assert (read_x.dtype, read_y.dtype) == (np.uint8, np.int64)


def test_a_missing_file_is_refused(file):
    assert refused(file) == f"--data must name an existing .npz file: got {file}. Give one with {FORM}."


def test_a_folder_is_refused(tmp_path):
    assert refused(tmp_path) == f"--data must name an existing .npz file: got {tmp_path}. Give one with {FORM}."


def test_an_empty_file_is_refused(file):
    file.touch()
    assert refused(file) == no_npz(file, "No data left in file")


def test_text_is_refused(file):
    file.write_text("0,1,2\n")
    assert refused(file).startswith(f"--data must be an .npz file without pickles: got {file} (")


def test_a_single_array_is_refused(file):
    with file.open("wb") as opened:
        np.save(opened, X)
    assert refused(file) == no_npz(file, "a single array")


def test_a_file_cut_short_is_refused(file):
    np.savez(file, x=X, y=Y)
    file.write_bytes(file.read_bytes()[:200])
    assert refused(file) == no_npz(file, "File is not a zip file")


def test_damaged_compressed_data_is_refused(file):
    np.savez_compressed(file, x=np.zeros((100, 28, 28), np.uint8), y=Y)
    content = bytearray(file.read_bytes())
    content[60:160] = bytes(byte ^ 0x55 for byte in content[60:160])  # inside the first array
    file.write_bytes(content)
    assert refused(file).startswith(f"--data must be an .npz file without pickles: got {file} (Error -3 while decompr")


def test_members_that_are_no_arrays_are_refused(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", "pixels")
        archive.writestr("y", "labels")
    assert refused(file) == no_npz(file, "its x or y is no array")


@pytest.mark.parametrize("missing", ["x", "y"])
def test_a_file_without_images_or_labels_is_refused(file, missing):
    np.savez(file, **{name: array for name, array in {"x": X, "y": Y}.items() if name != missing})
    assert refused(file) == no_npz(file, f"'{missing} is not a file in the archive'")


class Trap:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickled_objects_are_refused_and_never_unpickled(file, tmp_path):
    trap = tmp_path / "sprung"
    np.savez(file, x=np.array([Trap(trap)], dtype=object), y=Y)
    assert refused(file) == no_npz(file, "Object arrays cannot be loaded when allow_pickle=False")
    assert not trap.exists()
    with np.load(file, allow_pickle=True) as arrays:
        arrays["x"]
    assert trap.exists()  # the trap was a real one


@pytest.mark.parametrize(
    ("x", "received"),
    [
        (X.astype(np.float32), "float32 [4, 2, 3]"),
        (X.astype(np.int64), "int64 [4, 2, 3]"),
        (X.reshape(4, 6), "uint8 [4, 6]"),
        (X.reshape(4, 1, 2, 3, 1), "uint8 [4, 1, 2, 3, 1]"),
        (X[:, :0], "uint8 [4, 0, 3]"),
    ],
    ids=["float", "wide", "flat", "five dimensions", "no pixels"],
)
def test_images_of_another_kind_or_shape_are_refused(file, x, received):
    np.savez(file, x=x, y=Y)
    assert refused(file) == f"x must be uint8 [N,H,W] or [N,H,W,C]: got {received} in {file}. Give {FORM}."


@pytest.mark.parametrize(
    ("y", "received"),
    [
        (Y.astype(np.float64), "float64 [4]"),
        (Y.astype(bool), "bool [4]"),
        (Y.astype(str), "<U21 [4]"),
        (Y[:3], "int64 [3]"),
        (Y[:, None], "int64 [4, 1]"),
        (np.array(1), "int64 []"),
    ],
    ids=["float", "bool", "text", "too few", "two dimensions", "scalar"],
)
def test_labels_of_another_kind_or_shape_are_refused(file, y, received):
    np.savez(file, x=X, y=y)
    assert refused(file) == f"y must be one integer per image: got {received} for 4 images in {file}. Give {FORM}."


@pytest.mark.parametrize(
    ("y", "received"),
    [
        (np.array([0, 1, -1, 1]), "[-1  0  1]"),
        (np.array([1, 1, 1, 1]), "[1]"),
        (np.array([0, 1, 2**64 - 3, 1], dtype=np.uint64), "[-3  0  1]"),
        (np.array([], dtype=np.int64), "[]"),
    ],
    ids=["negative", "one class", "too large for int64", "none"],
)
def test_labels_that_are_no_classes_are_refused(file, y, received):
    np.savez(file, x=X[: len(y)], y=y)
    assert refused(file) == (
        f"y must hold every label from 0 to the last, of 2 classes or more: got {received} in {file}. Give {FORM}."
    )
