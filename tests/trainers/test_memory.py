"""Images in memory: real digits and MNIST, in order, standardised and shared between devices."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.augment.augmentation import Augmentation
from trainers.data import digits, memory
from trainers.data.memory import EVALUATION_CHUNK, InMemory, to_device
from trainers.data.split import Images
from trainers.data.standardizer import Standardizer
from trainers.devices import TrainingProcess
from trainers.recipe import find

CPU = torch.device("cpu")
EVERYTHING = Augmentation(flip=True, pad=1, cutout=3, randaugment_n=1, randaugment_m=15)


@pytest.fixture(scope="module")
def images():
    return digits.load(find("digits-mlp").numbers(), None, Path())


@pytest.fixture(scope="module")
def coloured(images):
    """The digits, each pixel with two others beside it as further colours."""
    tinted = {
        name: np.stack([of, np.roll(of, 1, axis=2) * 3, 255 - of * 5], axis=3)
        for name, of in vars(images).items()
        if name.endswith("_x")
    }
    return replace(images, **tinted)


def source(images, rank=0, devices=1, seed=0, batch=128, **options):
    return InMemory(images, batch=batch, process=TrainingProcess(CPU, rank, devices), seed=seed, **options)


def passed(of, epoch=1):
    """Return all inputs and all labels of a pass."""
    inputs, labels = zip(*of.training(epoch), strict=True)
    return torch.cat(inputs), torch.cat(labels)


def numbered(samples):
    """Return images whose pixels and labels say which row they are."""
    rows = np.arange(samples)
    pixels = np.broadcast_to(rows.astype(np.uint8)[:, None, None], (samples, 2, 2))
    few = pixels[:4], rows[:4]
    return Images(
        train_x=pixels,
        train_y=rows,
        validation_x=few[0],
        validation_y=few[1],
        test_x=few[0],
        test_y=few[1],
        classes=samples,
        source="rows",
    )


@pytest.mark.parametrize(("samples", "steps"), [(12, 3), (13, 3), (15, 3), (16, 4)])
def test_the_last_incomplete_batch_is_dropped(samples, steps):
    of = source(numbered(samples), batch=4)
    labels = [batch for _, batch in of.training(1)]
    assert [len(batch) for batch in labels] == [4] * steps
    assert of.steps == steps
    assert len(torch.cat(labels).unique()) == 4 * steps


def test_every_image_keeps_its_label():
    plain = Standardizer(mean=(0.0,), std=(1.0,))
    inputs, labels = passed(source(numbered(200), batch=10, standardizer=plain))
    assert torch.equal(inputs[:, 0, 0, 0].long(), labels)


def test_epochs_differ_in_their_order(images):
    of = source(images)
    assert not torch.equal(passed(of, 1)[1], passed(of, 2)[1])


def test_the_order_follows_from_the_seed(images):
    first, again, other = (passed(source(images, seed=seed))[1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_augmentation_leaves_the_order_alone(images):
    assert torch.equal(passed(source(images))[1], passed(source(images, augmentation=EVERYTHING))[1])


def test_every_epoch_draws_its_own_augmentation():
    same = replace(numbered(8), train_x=np.tile(np.arange(64, dtype=np.uint8).reshape(1, 8, 8), (8, 1, 1)))
    of = source(same, batch=8, augmentation=Augmentation(pad=2))
    assert not torch.equal(passed(of, 1)[0], passed(of, 2)[0])


@pytest.mark.parametrize("augmentation", [None, EVERYTHING], ids=["plain", "augmented"])
@pytest.mark.parametrize("devices", [2, 4])
def test_devices_share_the_batches_that_one_would_have(images, devices, augmentation):
    options = {"augmentation": augmentation, "standardizer": None}
    alone = source(images, **options)
    shares = [source(images, rank, devices, **options) for rank in range(devices)]
    for epoch in (1, 2):
        passes = (of.training(epoch) for of in (alone, *shares))
        for (inputs, labels), *parts in zip(*passes, strict=True):
            assert {len(part[1]) for part in parts} == {128 // devices}
            assert torch.equal(torch.cat([part[0] for part in parts]), inputs)
            assert torch.equal(torch.cat([part[1] for part in parts]), labels)


def test_augmentation_changes_training_and_never_evaluation(images):
    plain, augmented = source(images), source(images, augmentation=EVERYTHING)
    assert not torch.equal(passed(plain)[0], passed(augmented)[0])
    for split in ("validation", "test"):
        for (x, _), (other, _) in zip(plain.evaluation(split), augmented.evaluation(split), strict=True):
            assert torch.equal(x, other)


def test_crops_and_holes_are_filled_with_the_mean(images):
    inputs, _ = passed(source(images, augmentation=Augmentation(cutout=16)))  # covers at least a quarter
    black = Standardizer.fit(to_device(images.train_x, CPU)).apply(torch.zeros(1, 1, 1, 1, dtype=torch.uint8)).item()
    assert (inputs == 0).float().mean() > 0.9
    assert black < -0.5  # what a hole cut before standardising would be


def test_training_pixels_get_zero_mean_and_unit_variance(images):
    of = source(images, batch=len(images.train_y))
    inputs, _ = passed(of)
    # the pixels' sum is exact, but each input is rounded; their squares add up 82,880 roundings of random sign
    inputs = inputs.double()
    assert inputs.mean().item() == pytest.approx(0, abs=1e-6)
    assert inputs.std(correction=0).item() == pytest.approx(1, abs=5 * 82_880**0.5 * 2**-24)
    assert of.standardizer.mean == (pytest.approx(images.train_x.mean(), rel=1e-6),)


def test_every_channel_is_standardised_by_itself(coloured):
    inputs, _ = passed(source(coloured, batch=len(coloured.train_y)))
    assert inputs.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    assert inputs.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-4)


def test_other_splits_are_standardised_with_the_training_pixels():
    pixels = np.array([0, 4], dtype=np.uint8).reshape(2, 1, 1)  # mean 2, standard deviation 2
    other = np.array([2, 6], dtype=np.uint8).reshape(2, 1, 1)
    of = source(
        replace(numbered(2), train_x=pixels, validation_x=other, validation_y=np.array([0, 1])),
        batch=2,
    )
    [(inputs, _)] = of.evaluation("validation")
    assert inputs.flatten().tolist() == [0, 2]


def test_a_standard_of_ones_own_takes_the_place_of_the_training_splits(images):
    of = source(images, standardizer=Standardizer(mean=(1.0,), std=(2.0,)))
    [(inputs, _)] = of.evaluation("validation")
    expected = (torch.tensor(images.validation_x).float().unsqueeze(1) - 1) / 2
    assert torch.equal(inputs, expected)


def test_blank_images_stay_finite():
    blank = replace(numbered(8), train_x=np.zeros((8, 2, 2), np.uint8))
    assert not passed(source(blank, batch=8))[0].any()


def test_images_that_are_augmented_are_held_as_bytes(images):
    assert to_device(images.train_x, CPU).dtype == torch.uint8
    assert source(images, augmentation=EVERYTHING)._pixels.dtype == torch.uint8


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_standardised_once_are_those_standardised_at_every_step(coloured, channels_last, monkeypatch):
    once = source(coloured, channels_last=channels_last)
    monkeypatch.setattr(memory, "MAX_STANDARDIZED", 1295 * 192 - 1)  # just less than the training split
    each = source(coloured, channels_last=channels_last)
    assert (once._pixels.dtype, each._pixels.dtype) == (torch.float32, torch.uint8)
    assert all(map(torch.equal, passed(once), passed(each)))
    monkeypatch.setattr(memory, "MAX_STANDARDIZED", 0)
    for split in ("validation", "test"):
        assert all(map(torch.equal, next(once.evaluation(split)), next(each.evaluation(split))))


def test_grey_images_get_a_channel(images):
    held = to_device(images.train_x, CPU)
    assert held.shape == (1295, 1, 8, 8)
    assert torch.equal(held[:, 0], torch.tensor(images.train_x))


def test_the_channels_of_colour_images_come_first(coloured):
    held = to_device(coloured.train_x, CPU)
    assert held.shape == (1295, 3, 8, 8)
    assert torch.equal(held[7, 1], torch.tensor(coloured.train_x[7, :, :, 1]))
    assert source(coloured).shape == (3, 8, 8)


def test_read_only_images_are_copied(images):
    frozen = images.train_x.copy()
    frozen.flags.writeable = False  # as what Ray shares between processes
    held = to_device(frozen, CPU)
    held.zero_()
    assert frozen.any()


@pytest.mark.parametrize("augmentation", [None, EVERYTHING], ids=["plain", "augmented"])
def test_channels_last_is_a_layout_and_no_other_numbers(coloured, augmentation):
    first, last = (source(coloured, augmentation=augmentation, channels_last=last) for last in (False, True))
    for way in ("training", "evaluation"):
        a, b = (next(getattr(of, way)({"training": 1, "evaluation": "test"}[way]))[0] for of in (first, last))
        assert torch.equal(a, b)
        assert a.is_contiguous()
        assert b.is_contiguous(memory_format=torch.channels_last)
        assert not b.is_contiguous()


@pytest.mark.parametrize(("split", "samples"), [("validation", 252), ("test", 250)])
def test_evaluation_goes_through_a_split_in_order(images, split, samples):
    of = source(images)
    inputs, labels = map(torch.cat, zip(*of.evaluation(split), strict=True))
    pixels = torch.tensor(getattr(images, f"{split}_x")).unsqueeze(1)
    assert torch.equal(inputs, of.standardizer.apply(pixels))
    assert labels.tolist() == getattr(images, f"{split}_y").tolist()
    assert of.samples(split) == samples


def test_evaluation_takes_large_splits_in_pieces(images):
    many = 2 * EVALUATION_CHUNK // 64 + 5
    of = source(replace(images, test_x=np.resize(images.test_x, (many, 8, 8)), test_y=np.resize(images.test_y, many)))
    pieces = [labels for _, labels in of.evaluation("test")]
    assert [len(piece) for piece in pieces] == [EVALUATION_CHUNK // 64] * 2 + [5]
    assert torch.cat(pieces).tolist() == np.resize(images.test_y, many).tolist()


def test_every_device_evaluates_the_whole_split(images):
    assert sum(len(labels) for _, labels in source(images, 1, 2).evaluation("validation")) == 252


def test_a_source_goes_on_from_its_state_with_the_same_bits(images):
    alone = source(images, augmentation=EVERYTHING)
    passed(alone)
    state = alone.state()
    expected = passed(alone, 2)
    other = source(images, augmentation=EVERYTHING, seed=9)
    other.restore(state)
    assert all(map(torch.equal, passed(other, 2), expected))


def test_a_source_says_what_it_holds(images):
    of = source(images)
    assert (of.classes, of.shape, of.steps, of.test_sets) == (10, (1, 8, 8), 10, ("test",))
