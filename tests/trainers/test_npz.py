"""Files of one's own: real files of every malformed kind are refused with what is wrong with them."""

import os
import re
import tracemalloc
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
    """Return what reading a file is refused with, once a check has said the same."""
    with pytest.raises(RecipeError) as reading:
        npz.read(path)
    with pytest.raises(RecipeError) as checking:
        npz.read_labels(path)
    assert str(reading.value) == str(checking.value)
    return str(reading.value)


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
    assert refused(file) == no_npz(file, "File is not a zip file")


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
    assert refused(file) == no_npz(file, "its x is not an array")


@pytest.mark.parametrize("left", ["x", "y"])
def test_a_file_without_images_or_labels_is_refused(file, left):
    np.savez(file, **{left: X})
    assert refused(file) == f"an .npz file of images must hold x and y: got {left} in {file}. Give {FORM}."


class Trap:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickled_objects_are_refused_and_never_unpickled(file, tmp_path):
    trap = tmp_path / "sprung"
    np.savez(file, x=np.array([Trap(trap)], dtype=object), y=Y)
    assert refused(file) == (
        f"x must be uint8 [N,H,W] or [N,H,W,C]: got object [1] in {file}. Make the images one size and numpy.stack "
        "them, or give a folder of image files."
    )
    assert not trap.exists()
    with np.load(file, allow_pickle=True) as arrays:
        arrays["x"]
    assert trap.exists()  # the trap was a real one


@pytest.mark.parametrize(
    ("x", "received"),
    [
        (X.reshape(4, 6), "uint8 [4, 6]"),
        (X.reshape(4, 1, 2, 3, 1), "uint8 [4, 1, 2, 3, 1]"),
        (X[:, :0], "uint8 [4, 0, 3]"),
        (X.astype(np.complex64), "complex64 [4, 2, 3]"),
        (X.astype("datetime64[s]"), "datetime64[s] [4, 2, 3]"),
    ],
    ids=["flat", "five dimensions", "no pixels", "complex", "dates"],
)
def test_images_of_another_kind_or_shape_are_refused(file, x, received):
    np.savez(file, x=x, y=Y)
    assert refused(file) == f"x must be uint8 [N,H,W] or [N,H,W,C]: got {received} in {file}. Give {FORM}."


@pytest.mark.parametrize(
    ("y", "received", "remedy"),
    [
        (Y[:3], "int64 [3]", "Give as many labels as images."),
        (np.array(1), "int64 []", "Give as many labels as images."),
        (np.zeros((4, 2, 2), int), "int64 [4, 2, 2]", f"Give {FORM}."),
        (Y.astype("datetime64[s]"), "datetime64[s] [4]", f"Give {FORM}."),
    ],
    ids=["too few", "scalar", "three dimensions", "dates"],
)
def test_labels_of_another_kind_or_shape_are_refused(file, y, received, remedy):
    np.savez(file, x=X, y=y)
    assert refused(file) == f"y must be one integer per image: got {received} for 4 images in {file}. {remedy}"


@pytest.mark.parametrize(
    ("y", "received", "remedy"),
    [
        (np.array([1, 1, 1, 1]), "[1]", f"Give {FORM}."),
        (np.array([], dtype=np.int64), "[]", f"Give {FORM}."),
        (
            np.array([0, 1, 2**64 - 3, 1], dtype=np.uint64),
            "[-3  0  1]",
            "Leave out images without a label (x[y >= 0], y[y >= 0]), or number the classes: "
            "y=numpy.unique(y, return_inverse=True)[1].",
        ),
    ],
    ids=["one class", "none", "too large for int64"],
)
def test_labels_that_are_no_classes_are_refused(file, y, received, remedy):
    np.savez(file, x=X[: len(y)], y=y)
    assert refused(file) == (
        f"y must hold every label from 0 to the last, of 2 classes or more: got {received} in {file}. {remedy}"
    )


# The remedy is a line of numpy: it is run, and what it makes is read

FIX = re.compile(r"(?:old = (?P<old>numpy\.load\(file\)); )?numpy\.savez\((?:file|new), (?P<arrays>.+)\)")
COLOUR = np.random.default_rng(0).integers(0, 256, (60, 8, 9, 3), np.uint8)
SQUARE = COLOUR[:, :, :8]
CLASSES = np.arange(60) % 3


def fixed(file, **arrays):
    """Save arrays that are refused, apply what the refusal says, and return what is then read."""
    np.savez(file, **arrays)
    found = FIX.search(refused(file))
    known = {"numpy": np, "file": file, **arrays}
    known["old"] = arrays
    np.savez(file, **eval(f"dict({found['arrays']})", known))
    return npz.read(file)


@pytest.mark.parametrize(
    "x",
    [COLOUR, COLOUR[..., :1], COLOUR[..., :2], np.tile(SQUARE, 2), np.tile(COLOUR, 2), np.tile(SQUARE, 2)[:, :, :7]],
    ids=["3", "1", "2", "square", "wide", "tall"],
)
def test_channels_that_come_first_are_refused_with_the_transpose(file, x):
    first = x.transpose(0, 3, 1, 2)
    np.savez(file, x=first, y=CLASSES)
    _, channels, height, width = first.shape
    assert refused(file) == (
        f"x must be [N,H,W,C], its channels last: got uint8 {list(first.shape)} in {file}, which is {width} "
        f"channels of {channels} × {height}. Save it as numpy.savez(file, x=x.transpose(0, 2, 3, 1), y=y)."
    )
    assert (fixed(file, x=first, y=CLASSES)[0] == x).all()


@pytest.mark.parametrize("shape", [(60, 3, 8, 3), (60, 8, 8, 4), (60, 8, 8, 12), (60, 20, 8, 6), (60, 8, 9, 8)])
def test_channels_that_may_be_last_are_taken_to_be(file, shape):
    np.savez(file, x=np.zeros(shape, np.uint8), y=CLASSES)
    assert npz.read(file)[0].shape == shape


@pytest.mark.parametrize(
    "x",
    [
        COLOUR / 255,
        (COLOUR / 255).astype(np.float32).transpose(0, 3, 1, 2),
        COLOUR.astype(np.float16),
        COLOUR.astype(np.int64),
        COLOUR.astype(">i2"),
        SQUARE[..., 0].reshape(60, 64),
        SQUARE.transpose(0, 3, 1, 2).reshape(60, 192),
        SQUARE.transpose(0, 3, 1, 2).reshape(60, 192) / 255,
        COLOUR.transpose(1, 2, 3, 0),
    ],
    ids=["unit", "unit first", "half", "wide", "big endian", "flat grey", "flat colour", "flat unit", "samples last"],
)
def test_images_of_another_type_or_layout_are_refused_with_the_line_that_fixes_them(file, x):
    read, _ = fixed(file, x=x, y=CLASSES)
    expected = COLOUR if 9 in x.shape else SQUARE[..., 0] if x.shape[1:] == (64,) else SQUARE
    assert (read == expected).all()


@pytest.mark.parametrize(
    "x",
    [COLOUR / 127.5 - 1, COLOUR.astype(np.uint16) * 257, COLOUR.astype(np.int8), COLOUR > 100, COLOUR * 1e6],
    ids=["standardised", "16 bits", "signed", "bool", "huge"],
)
def test_images_of_another_range_are_refused_with_a_line_that_keeps_their_order(file, x):
    read, _ = fixed(file, x=x, y=CLASSES)
    order = np.argsort(x, axis=None, kind="stable")
    assert (np.diff(read.ravel()[order].astype(int)) >= 0).all()
    assert len(np.unique(read)) == len(np.unique(x))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_told(file, value):
    x = COLOUR / 255
    x[50, 3, 2, 1] = value
    np.savez(file, x=x, y=CLASSES)
    assert refused(file).endswith(
        "x holds NaN or infinite values: leave out those images or replace the values, then save it as uint8."
    )


@pytest.mark.parametrize(
    "y",
    [
        np.eye(3)[CLASSES],
        np.eye(3, dtype=bool)[CLASSES],
        CLASSES[:, None],
        CLASSES[:, None] * 1.0,
        CLASSES * 1.0,
        np.array(["ape", "bee", "cat"])[CLASSES],
        np.array([b"ape", b"bee", b"cat"])[CLASSES],
        CLASSES + 1,
        CLASSES * 2,
    ],
    ids=["one-hot", "bools", "column", "float column", "float", "text", "bytes", "from 1", "gaps"],
)
def test_labels_of_another_form_are_refused_with_the_line_that_fixes_them(file, y):
    assert (fixed(file, x=COLOUR, y=y)[1] == CLASSES).all()


@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (
            np.where(CLASSES, CLASSES, np.nan),
            "y holds NaN or infinite values: leave out those images",
        ),
        (CLASSES + 0.5, "y holds fractions, and classes are numbered 0, 1, 2, …: y cannot be a quantity to predict."),
        (CLASSES.astype(object), "Objects are never unpickled: save y as an array of integers or text."),
    ],
    ids=["NaN", "fractions", "objects"],
)
def test_labels_that_no_line_fixes_are_told(file, y, remedy):
    np.savez(file, x=COLOUR, y=y)
    assert remedy in refused(file)


@pytest.mark.parametrize(
    "names",
    [
        ("X", "Y"),
        ("images", "labels"),
        ("arr_0", "arr_1"),
        ("data", "target"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
    ],
    ids=lambda names: names[0],
)
def test_arrays_of_other_names_are_refused_with_the_line_that_renames_them(file, names):
    arrays = {name: [COLOUR, CLASSES][at % 2] for at, name in enumerate(names)}
    read = fixed(file, **arrays)
    assert [len(array) for array in read] == [60 * len(names) // 2] * 2
    assert (read[0][:60] == COLOUR).all()


@pytest.mark.parametrize(
    "names", [("foo", "bar"), ("images", "data", "labels"), ("x_train", "y_test"), ("images", "x")]
)
def test_arrays_whose_meaning_is_not_known_are_listed(file, names):
    np.savez(file, **dict.fromkeys(names, CLASSES))
    assert refused(file) == f"an .npz file of images must hold x and y: got {', '.join(names)} in {file}. Give {FORM}."


def test_an_archive_of_image_files_is_told_from_arrays(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("cat/1.png", b"")
        archive.writestr("dog/\x1b[2J.png", b"")
    assert refused(file) == (
        f"an .npz file of images must hold x and y: got cat/1.png, dog/\\x1b[2J.png in {file}. If it is an archive of "
        "image files, unpack it and give the folder."
    )


# Files that lie, or that their decoder does not take


def save_members(file, compression=zipfile.ZIP_STORED, **members):
    """Write members as they are, without numpy's checks."""
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def npy(array, shape=None, dtype=None, header=None, version=b"\x01\x00"):
    """Return an array as numpy saves it, with another header."""
    fields = header or {"descr": dtype or array.dtype.str, "fortran_order": False, "shape": shape or array.shape}
    text = fields if isinstance(fields, str) else repr(fields)
    return (
        b"\x93NUMPY"
        + version
        + len(text).to_bytes(2 if version[0] == 1 else 4, "little")
        + text.encode()
        + (array.tobytes())
    )


def patched(file, **changes):
    """Set fields of a zip directory and of the headers before its members."""
    content = bytearray(file.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(magic, at + 1)) >= 0:
            for field, value in changes.items():
                where = at + offset + {"flags": 0, "method": 2}[field]
                content[where : where + 2] = value.to_bytes(2, "little")
    file.write_bytes(content)


def test_an_encrypted_file_is_refused(file):
    np.savez(file, x=X, y=Y)
    patched(file, flags=1)
    assert "is encrypted, password required" in refused(file)


@pytest.mark.parametrize("method", [9, 95, 99])
def test_a_compression_that_python_does_not_know_is_refused(file, method):
    np.savez(file, x=X, y=Y)
    patched(file, method=method)
    assert refused(file) == no_npz(file, "That compression method is not supported")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("length", [0.1, 0.5, 0.9])
def test_a_broken_stream_is_refused_whatever_compressed_it(file, method, length):
    save_members(file, method, x=npy(np.random.default_rng(0).integers(0, 256, (4, 99, 99), np.uint8)), y=npy(Y))
    content = bytearray(file.read_bytes())
    start = int(length * 20_000)
    content[start : start + 400] = bytes(400)
    file.write_bytes(content)
    assert refused(file).startswith(f"--data must be an .npz file without pickles: got {file} (")


@pytest.mark.parametrize(
    ("shape", "declared"),
    [((10**9, 28, 28), 784 * 10**9), ((4, 2, 4), 32), ((2, 2, 3), 12), ((2**70, 2, 3), 6 * 2**70), ((-4, -2, 3), 24)],
)
def test_a_shape_that_does_not_fit_the_bytes_is_refused(file, shape, declared):
    save_members(file, x=npy(X, shape), y=npy(Y))
    assert refused(file) == no_npz(file, f"its x declares {list(shape)} of uint8, {declared} bytes, and has 24")


def test_labels_whose_shape_does_not_fit_their_bytes_are_refused(file):
    save_members(file, x=npy(X), y=npy(Y, (10**12,)))
    assert refused(file) == no_npz(file, f"its y declares [{10**12}] of int64, {8 * 10**12} bytes, and has 32")


@pytest.mark.parametrize(
    "header",
    ["", "{", "(" * 5000, "-" * 5000 + "1", "[" * 150 + "]" * 150, "{'shape': 1}", "__import__('os').abort()", "\0"],
    ids=lambda header: header[:12],
)
def test_a_header_that_is_none_is_refused(file, header):
    save_members(file, x=npy(X, header=header or "\n"), y=npy(Y))
    assert refused(file) == no_npz(file, "its x does not have a header that numpy reads")


def test_a_header_of_gigabytes_is_not_read(file):
    save_members(file, zipfile.ZIP_DEFLATED, x=b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(10**8), y=npy(Y))
    assert refused(file) == no_npz(file, "its x does not have a header that numpy reads")


def test_a_small_file_that_unpacks_to_more_than_fits_in_memory_is_refused(file, monkeypatch):
    np.savez_compressed(file, x=np.zeros((4, 1000, 1000), np.uint8), y=Y)
    assert file.stat().st_size < 10_000
    monkeypatch.setattr(npz, "MAX_BYTES", 10**6)
    assert refused(file) == f"x must have at most 0 GB: got 0.0 GB in {file}. Give fewer or smaller images."


def test_a_check_takes_the_memory_of_the_labels_alone(file):
    np.savez_compressed(file, x=np.zeros((4, 5000, 5000), np.uint8), y=Y)
    tracemalloc.start()
    try:
        labels, shape = npz.read_labels(file)
        assert (labels == Y).all()
        assert shape == (5000, 5000)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()
