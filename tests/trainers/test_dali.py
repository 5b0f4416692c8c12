"""DALI on the CPU: the order, crops and flips of torchvision's stream, and pixels that differ by rounding."""

import re
from importlib.metadata import version

import pytest
import torch
from PIL import Image

from tests.trainers.test_stream import CPU, joined, numbers, same, write_imagenet, write_images
from trainers.data import imagenet, stream
from trainers.data.dali import DaliStream
from trainers.data.stream import Stream
from trainers.data.streams import make_stream
from trainers.recipe import RecipeError

ONE_GREY_LEVEL = 1 / 255 / 0.226  # of 255, in standardised inputs


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet")
    write_imagenet(root)
    return root


@pytest.fixture(scope="module")
def folders(root):
    return imagenet.load(numbers(), str(root), root)


def assert_close(ours, theirs):
    """Check that two passes have the same labels in the same order, and pixels that are close."""
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs)
    for (x, y), (their_x, their_y) in zip(ours, theirs, strict=True):
        assert torch.equal(y, their_y)
        assert (x.shape, x.dtype) == (their_x.shape, their_x.dtype)
        difference = (x - their_x).abs()
        assert difference.mean() < 0.5 * ONE_GREY_LEVEL
        assert difference.mean(dim=(1, 2, 3)).max() < ONE_GREY_LEVEL  # of any image
        assert difference.max() < 16 * ONE_GREY_LEVEL  # of any pixel


def test_training_is_torchvisions_but_for_rounding(folders):
    ours, theirs = (kind(folders, numbers(), CPU, 3) for kind in (DaliStream, Stream))
    assert_close(ours.training(2), theirs.training(2))


@pytest.mark.parametrize("split", ["validation", *imagenet.V2])
def test_evaluation_is_torchvisions_but_for_rounding(folders, split):
    ours, theirs = (kind(folders, numbers(), CPU, 3) for kind in (DaliStream, Stream))
    assert_close(ours.evaluation(split), theirs.evaluation(split))


def test_the_closeness_would_tell_one_image_from_its_mirror(folders):
    theirs = list(Stream(folders, numbers(), CPU, 3).training(1))
    with pytest.raises(AssertionError):
        assert_close(theirs, [(torch.cat([x[:1].flip(3), x[1:]]), y) for x, y in theirs])


def test_any_number_of_threads_gives_the_same_bits(folders):
    none, two = (DaliStream(folders, numbers(workers=workers), CPU, 0) for workers in (0, 2))
    assert same(none.training(1), two.training(1))


def test_the_shares_of_two_devices_make_up_the_batches_of_one(folders):
    whole = DaliStream(folders, numbers(), CPU, 0).training(1)
    shares = [DaliStream(folders, numbers(), CPU, 0, rank, 2).training(1) for rank in (0, 1)]
    assert same(whole, map(joined, *shares))


def test_a_run_that_goes_on_at_an_epoch_sees_the_same_bits(folders):
    straight, resumed = DaliStream(folders, numbers(), CPU, 0), DaliStream(folders, numbers(), CPU, 0)
    list(straight.training(1))
    resumed.restore(straight.state())
    assert same(straight.training(2), resumed.training(2))


def test_batches_that_are_kept_are_not_written_over(folders):
    batches = DaliStream(folders, numbers(), CPU, 0).training(1)
    first, _ = next(batches)
    before = first.clone()
    list(batches)
    assert torch.equal(first, before)


def test_other_formats_and_modes_are_read_alike(tmp_path):
    write_images(tmp_path / "train", 0, 50)
    write_images(tmp_path / "val", 1, 20)
    kinds = ["L.png", "P.png", "RGB.bmp", "L.jpg", "CMYK.jpg", "RGBA.png", "RGB.webp"]
    for number, (mode, suffix) in enumerate(kind.split(".") for kind in kinds):
        file = sorted(tmp_path.glob("val/*/*.JPEG"))[0]
        image = Image.open(file).convert(mode)
        file.unlink()
        image.save(file.with_name(f"z{number}.{suffix}"), lossless=True)
    folders = imagenet.load(numbers(imagenet_v2=False), str(tmp_path), tmp_path)
    ours, theirs = (kind(folders, numbers(), CPU, 3) for kind in (DaliStream, Stream))
    assert_close(ours.evaluation("validation"), theirs.evaluation("validation"))


def test_images_are_not_turned_by_what_the_camera_noted(tmp_path):
    write_images(tmp_path / "train", 0, 50)
    write_images(tmp_path / "val", 1, 20)
    for file in tmp_path.glob("*/*/*.JPEG"):
        image = Image.open(file)
        exif = image.getexif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        image.save(file, exif=exif, quality=95)
    folders = imagenet.load(numbers(imagenet_v2=False), str(tmp_path), tmp_path)
    ours, theirs = (kind(folders, numbers(), CPU, 3) for kind in (DaliStream, Stream))
    assert_close(ours.evaluation("validation"), theirs.evaluation("validation"))
    assert_close(ours.training(1), theirs.training(1))


@pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "text", "cut short"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_image_that_cannot_be_read_is_named(tmp_path, content, split):
    write_images(tmp_path / "train", 0, 50)
    write_images(tmp_path / "val", 1, 20)
    folders = imagenet.load(numbers(imagenet_v2=False), str(tmp_path), tmp_path)
    files = folders.train if split == "train" else folders.validation
    found = DaliStream(folders, numbers(batch=10), CPU, 0)
    path = files.path(11)
    with open(path, "r+b") as file:
        kept = file.read() if content is None else content
        file.seek(0)
        file.truncate()
        file.write(kept[:700] if content is None else content)
    with pytest.raises(RecipeError, match=rf"^every image must be readable: got {re.escape(path)} \("):
        list(found.training(1) if split == "train" else found.evaluation(split))


def test_it_reads_where_it_is_asked_for_or_feeds_a_gpu(folders):
    assert type(make_stream(folders, numbers(loader="dali"), CPU, 0)) is DaliStream
    assert type(make_stream(folders, numbers(loader="auto"), torch.device("cuda"), 0)) is DaliStream
    assert type(make_stream(folders, numbers(loader="auto"), CPU, 0)) is Stream


def test_the_package_named_in_the_remedy_is_the_one_these_tests_run():
    assert version(stream.DALI)
