"""Streams of image files, over real digits: the same bits for any number of processes and devices, as torchvision's."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from tests.trainers.test_folder import LABELS, PIXELS
from trainers.data import imagenet, stream, streams
from trainers.data.stream import Stream, draw_crop, epoch_order
from trainers.data.streams import make_stream
from trainers.descriptors.imagenet_resnet18 import ImageNetNumbers
from trainers.recipe import RecipeError

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def numbers(**changes):
    return ImageNetNumbers(
        **{"batch": 16, "devices": 1, "image_size": 32, "workers": 0, "loader": "torchvision", **changes}
    )


def write_images(folder, first, count):
    """Write digits in colours and sizes of their own, as JPEG, in a folder for each."""
    for row in range(first, 5000, 5000 // count):
        path = folder / f"n{LABELS[row]}"
        path.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.stack([PIXELS[row], 255 - PIXELS[row], PIXELS[row] // 2], axis=-1))
        image = image.resize((40 + row % 37, 40 + row % 29), Image.Resampling.BICUBIC)
        image.save(path / f"{row:04}.JPEG", quality=95)


def write_imagenet(root):
    """Write 100 + 50 + 3 × 20 digits of 10 classes."""
    write_images(root / "train", 0, 100)
    write_images(root / "val", 1, 50)
    for number, name in enumerate(imagenet.V2):
        write_images(root / "written", 2 + number, 20)
        for label in range(10):
            (root / "written" / f"n{label}").rename(root / "written" / str(label))
        (root / "written").rename(root / name)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet")
    write_imagenet(root)
    return root


@pytest.fixture(scope="module")
def folders(root):
    return imagenet.load(numbers(), str(root), root)


def same(first, second):
    """Whether two passes have the same bits."""
    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        torch.equal(x, other_x) and torch.equal(y, other_y)
        for (x, y), (other_x, other_y) in zip(first, second, strict=True)
    )


def joined(*shares):
    """Put the shares of a batch together."""
    return tuple(map(torch.cat, zip(*shares, strict=True)))


def normalised(image):
    """Turn an image into an input by torchvision's own transforms."""
    tensor = v2.functional.to_dtype(v2.functional.pil_to_tensor(image), torch.float32, scale=True)
    return v2.functional.normalize(tensor, MEAN, STD)


def test_a_stream_says_what_it_holds(folders):
    found = Stream(folders, numbers(), CPU, 0)
    assert (found.steps, found.classes, found.shape, found.test_sets) == (6, 10, (3, 32, 32), imagenet.V2)
    assert [found.samples(split) for split in ("validation", *imagenet.V2)] == [50, 20, 20, 20]
    assert found.standardizer.mean == pytest.approx([255 * mean for mean in MEAN])
    assert found.standardizer.std == pytest.approx([255 * std for std in STD])


def test_a_pass_is_of_full_batches_in_the_order_of_its_epoch(folders):
    batches = list(Stream(folders, numbers(), CPU, 3).training(1))
    assert [(x.shape, x.dtype, y.dtype) for x, y in batches] == [((16, 3, 32, 32), torch.float32, torch.int64)] * 6
    order = epoch_order(100, 3, 1)
    assert sorted(order) == list(range(100))
    assert torch.cat([y for _, y in batches]).tolist() == folders.train.labels[order[:96]].tolist()


def test_training_inputs_are_those_of_torchvision_for_the_crops_drawn(folders):
    x, _ = next(Stream(folders, numbers(), CPU, 3).training(2))
    for place, row in enumerate(epoch_order(100, 3, 2)[:16]):
        image = Image.open(folders.train.path(row)).convert("RGB")
        crop = draw_crop(*image.size, 3, 2, place)
        image = v2.functional.resized_crop(image, crop.top, crop.left, crop.height, crop.width, [32, 32])
        image = v2.functional.horizontal_flip(image) if crop.flip else image
        torch.testing.assert_close(x[place], normalised(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("split", ["validation", *imagenet.V2])
def test_evaluation_is_torchvisions_over_every_image_in_order(folders, split):
    found = Stream(folders, numbers(), CPU, 0)
    theirs = v2.Compose([v2.Resize(37, antialias=True), v2.CenterCrop(32)])  # 32 × 256 / 224, rounded
    files = folders.split(split)
    expected = [normalised(theirs(Image.open(files.path(row)).convert("RGB"))) for row in range(len(files))]
    batches = list(found.evaluation(split))
    assert len(batches[0][1]) == 16
    torch.testing.assert_close(torch.cat([x for x, _ in batches]), torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert torch.cat([y for _, y in batches]).tolist() == files.labels.tolist()


def test_images_of_224_pixels_are_cut_from_256():
    assert stream.shorter_side(224) == 256


def test_any_number_of_reading_processes_gives_the_same_bits(folders):
    none, two = (Stream(folders, numbers(workers=workers), CPU, 0) for workers in (0, 2))
    assert same(none.training(1), two.training(1))
    assert same(none.evaluation("validation"), two.evaluation("validation"))


@pytest.mark.parametrize("devices", [2, 4])
def test_the_shares_of_the_devices_make_up_the_batches_of_one(folders, devices):
    whole = Stream(folders, numbers(), CPU, 0).training(1)
    shares = [Stream(folders, numbers(), CPU, 0, rank, devices).training(1) for rank in range(devices)]
    assert same(whole, map(joined, *shares))


def test_every_device_evaluates_every_image(folders):
    last = Stream(folders, numbers(), CPU, 0, 1, 2).evaluation("validation")
    assert torch.cat([y for _, y in last]).tolist() == folders.validation.labels.tolist()


def test_a_run_that_goes_on_at_an_epoch_sees_the_same_bits(folders):
    straight, resumed = Stream(folders, numbers(), CPU, 0), Stream(folders, numbers(), CPU, 0)
    first = list(straight.training(1))
    resumed.restore(straight.state())
    assert same(straight.training(2), resumed.training(2))
    assert same(first, resumed.training(1))
    assert straight.state() == {}


@pytest.mark.parametrize(("seed", "epoch"), [(0, 2), (1, 1)])
def test_another_epoch_or_seed_has_another_order_and_other_crops(folders, seed, epoch):
    assert (epoch_order(100, 0, 1) != epoch_order(100, seed, epoch)).any()
    crops = [draw_crop(500, 400, 0, 1, place) == draw_crop(500, 400, seed, epoch, place) for place in range(20)]
    assert not any(crops)
    assert not same(
        Stream(folders, numbers(), CPU, 0).training(1), Stream(folders, numbers(), CPU, seed).training(epoch)
    )


def test_the_same_image_is_cropped_otherwise_in_another_place():
    assert len({draw_crop(500, 400, 0, 1, place) for place in range(100)}) == 100


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_leaves_the_generators_of_the_trial_alone(folders, workers):
    torch.manual_seed(5)
    np.random.seed(5)
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(Stream(folders, numbers(workers=workers), CPU, 0).training(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == before_numpy).all()


def test_crops_are_distributed_as_torchvisions():
    width, height, draws = 500, 375, 3000
    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(224)
    image = torch.empty(3, height, width)
    expected = [theirs.make_params([image]) for _ in range(draws)]
    got = [draw_crop(width, height, 0, 1, place)._asdict() for place in range(draws)]
    for figure in (
        lambda crop: crop["height"] * crop["width"] / (width * height),
        lambda crop: np.log(crop["width"] / crop["height"]),
        lambda crop: (crop["top"] + crop["height"] / 2) / height,
        lambda crop: (crop["left"] + crop["width"] / 2) / width,
    ):
        ours, others = (np.array([figure(crop) for crop in crops]) for crops in (got, expected))
        assert ours.mean() == pytest.approx(others.mean(), abs=4 * others.std() * np.sqrt(2 / draws))
        assert ours.std() == pytest.approx(others.std(), rel=0.06)
    assert np.mean([crop["flip"] for crop in got]) == pytest.approx(0.5, abs=0.03)


def test_crops_lie_within_the_image():
    for place in range(500):
        width, height = 1 + place % 23, 1 + place % 31
        crop = draw_crop(width, height, 0, 1, place)
        assert crop.top >= 0
        assert crop.left >= 0
        assert 1 <= crop.height <= height - crop.top
        assert 1 <= crop.width <= width - crop.left


@pytest.mark.parametrize(("width", "height"), [(1000, 10), (10, 1000)])
def test_of_an_image_too_long_for_any_crop_the_centre_is_taken_as_by_torchvision(width, height):
    expected = v2.RandomResizedCrop(224).make_params([torch.empty(3, height, width)])
    crop = draw_crop(width, height, 0, 1, 0)._asdict()
    assert {name: crop[name] for name in expected} == expected


@pytest.mark.parametrize("channels_last", [False, True])
def test_inputs_have_the_memory_layout_that_was_asked_for(folders, channels_last):
    x, _ = next(Stream(folders, numbers(channels_last=channels_last), CPU, 0).training(1))
    assert x.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_is_named(tmp_path, workers):
    write_images(tmp_path / "train", 0, 50)
    write_images(tmp_path / "val", 1, 20)
    folders = imagenet.load(numbers(imagenet_v2=False), str(tmp_path), tmp_path)
    file = folders.validation.path(11)
    with open(file, "r+b") as damaged:
        damaged.truncate(500)
    found = Stream(folders, numbers(workers=workers), CPU, 0)
    with pytest.raises(RecipeError, match=rf"^every image must be readable: got {re.escape(file)} \(OSError: "):
        list(found.evaluation("validation"))


def test_a_batch_that_the_devices_cannot_share_is_refused(folders):
    with pytest.raises(RecipeError) as caught:
        Stream(folders, numbers(), CPU, 0, 0, 3)
    assert str(caught.value) == (
        "the batch must divide over real_devices: got batch=16 over 3. Choose a multiple (--set batch=…)."
    )


def test_more_reading_processes_than_cores_are_not_started(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert [stream.loader_workers(workers) for workers in (0, 2, 8)] == [0, 2, 3]


def wait_until_gone(processes, seconds=20):
    """Return those that are still there after so many seconds."""
    return psutil.wait_procs(processes, timeout=seconds)[1]


def test_a_pass_that_is_abandoned_leaves_no_process_behind(folders):
    before = set(psutil.Process().children(recursive=True))
    passes = Stream(folders, numbers(workers=2), CPU, 0).training(1)
    next(passes)
    started = set(psutil.Process().children(recursive=True)) - before
    assert len(started) == stream.loader_workers(2)
    del passes
    assert not wait_until_gone(started, seconds=3)


READING = """
import sys, time
from pathlib import Path
import psutil, torch
from tests.trainers.test_stream import numbers
from trainers.data import imagenet
from trainers.data.stream import Stream
root = sys.argv[1]
stream = Stream(imagenet.load(numbers(), root, Path(root)), numbers(workers=2), torch.device("cpu"), 0)
for batch in stream.training(1):
    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
    time.sleep(60)
"""


def test_a_process_that_is_ended_while_it_reads_leaves_none_behind(root):
    ends = (signal.SIGTERM, signal.SIGINT)
    programs = [
        subprocess.Popen([sys.executable, "-c", READING, str(root)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in ends
    ]
    readers = [psutil.Process(int(pid)) for program in programs for pid in program.stdout.readline().split()]
    assert len(readers) == len(ends) * stream.loader_workers(2)
    for program, end in zip(programs, ends, strict=True):
        program.send_signal(end)
    for program in programs:
        program.communicate(timeout=120)
    assert not wait_until_gone(readers)


def test_torchvision_reads_where_nothing_else_is_asked_for(folders):
    assert type(make_stream(folders, numbers(loader="torchvision"), torch.device("cuda"), 0)) is Stream
    assert type(make_stream(folders, numbers(loader="auto"), CPU, 0)) is Stream


def test_a_loader_that_is_not_installed_is_refused_with_the_command(folders, monkeypatch):
    monkeypatch.setattr(streams, "find_spec", lambda name: None)
    with pytest.raises(RecipeError) as caught:
        make_stream(folders, numbers(loader="dali"), CPU, 0)
    assert str(caught.value) == (
        "loader=dali needs NVIDIA DALI: got none installed. Install it (pip install nvidia-dali-cuda130), or choose "
        "--set loader=torchvision."
    )
    assert type(make_stream(folders, numbers(loader="auto"), torch.device("cuda"), 0)) is Stream
