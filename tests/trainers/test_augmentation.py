"""Drawing and applying: crop, flip and Cutout against torchvision image by image, and what holds for every step."""

import re

import pytest
import torch
from sklearn.datasets import load_sample_images
from torchvision.transforms.v2 import functional as one_image

from trainers.augment.augmentation import Augmentation

EVERYTHING = Augmentation(flip=True, pad=4, cutout=16, randaugment_n=2, randaugment_m=14)
ON_INPUTS = [{"flip": True}, {"pad": 4}, {"pad": 40}, {"cutout": 16}, {"cutout": 7}, {"cutout": 99}]
ON_INPUTS += [{"flip": True, "pad": 4, "cutout": 16}]


def patches(images=48, channels=3, height=32, width=32):
    """Return uint8 pieces of real photographs."""
    photographs = [torch.tensor(photograph).permute(2, 0, 1) for photograph in load_sample_images().images]
    rows, columns = torch.randint(380, (2, images), generator=seeded(0)).tolist()
    return torch.stack(
        [
            photographs[i % 2][:channels, rows[i] : rows[i] + height, columns[i] : columns[i] + width]
            for i in range(images)
        ]
    )


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def inputs_of(pixels):
    return pixels.float().sub_(120).div_(60)


def one_by_one(augmentation, inputs, draws):
    """Crop, flip and cut as torchvision does, one image after another."""
    height, width = inputs.shape[2:]
    results = []
    for i, image in enumerate(inputs):
        top, left = draws.offset[i].tolist()
        changed = one_image.crop(one_image.pad(image, [augmentation.pad]), top, left, height, width)
        if draws.flip[i]:
            changed = one_image.horizontal_flip(changed)
        if augmentation.cutout:
            side = augmentation.cutout
            rows, columns = (
                range(max(0, centre - side // 2), min(size, centre - side // 2 + side))
                for centre, size in zip(draws.centre[i].tolist(), (height, width), strict=True)
            )
            changed = one_image.erase(changed, rows.start, columns.start, len(rows), len(columns), torch.zeros(()))
        results.append(changed)
    return torch.stack(results)


def augmented(augmentation, pixels, draws):
    return augmentation.augment_inputs(inputs_of(augmentation.augment_pixels(pixels, draws)), draws)


@pytest.mark.parametrize("numbers", ON_INPUTS, ids=str)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 20, 44)], ids=str)
def test_crop_flip_and_cutout_are_torchvisions(numbers, shape):
    augmentation = Augmentation(**numbers)
    inputs = inputs_of(patches(48, *shape))
    draws = augmentation.draw(48, *shape[1:], seeded(1))
    expected = one_by_one(augmentation, inputs, draws)
    assert not torch.equal(expected, inputs)
    assert torch.equal(augmentation.augment_inputs(inputs, draws), expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_type_and_memory_format_are_kept(dtype, memory_format):
    inputs = inputs_of(patches(48, 3, 20, 44)).to(dtype)
    draws = EVERYTHING.draw(48, 20, 44, seeded(1))
    result = EVERYTHING.augment_inputs(inputs.contiguous(memory_format=memory_format), draws)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=memory_format)
    assert torch.equal(result, one_by_one(EVERYTHING, inputs, draws))


def test_what_is_given_is_not_changed():
    pixels = patches()
    inputs = inputs_of(pixels)
    draws = EVERYTHING.draw(48, 32, 32, seeded(1))
    EVERYTHING.augment_pixels(pixels, draws)
    EVERYTHING.augment_inputs(inputs, draws)
    assert torch.equal(pixels, patches())
    assert torch.equal(inputs, inputs_of(patches()))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    pixels = patches()

    def result(seed):
        return augmented(EVERYTHING, pixels, EVERYTHING.draw(48, 32, 32, seeded(seed)))

    assert torch.equal(result(7), result(7))
    changed = (result(7) != result(8)).flatten(1).any(dim=1)
    assert changed.float().mean() > 0.9


def test_one_generator_draws_something_else_every_time():
    generator = seeded(0)
    first, second = (EVERYTHING.draw(48, 32, 32, generator) for _ in range(2))
    assert not any(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_the_shares_of_the_devices_are_the_whole(devices):
    pixels = patches()
    draws = EVERYTHING.draw(48, 32, 32, seeded(3))
    shares = [
        augmented(EVERYTHING, share, draws.share(rank, devices)) for rank, share in enumerate(pixels.chunk(devices))
    ]
    assert torch.equal(torch.cat(shares), augmented(EVERYTHING, pixels, draws))


def test_draws_that_cannot_be_shared_out_are_refused():
    draws = EVERYTHING.draw(48, 32, 32, seeded(0))
    with pytest.raises(ValueError, match=re.escape("got 48 images, rank 0 of 5 devices. Choose a batch")):
        draws.share(0, 5)
    with pytest.raises(ValueError, match="got 48 images, rank 2 of 2 devices"):
        draws.share(2, 2)


def test_draws_for_other_images_are_refused():
    draws = EVERYTHING.draw(48, 32, 32, seeded(0)).share(0, 2)
    with pytest.raises(ValueError, match="one draw per image is needed: got 24 draws for 48 images"):
        EVERYTHING.augment_pixels(patches(), draws)
    with pytest.raises(ValueError, match="got 24 draws for 48 images"):
        EVERYTHING.augment_inputs(inputs_of(patches()), draws)


def test_nothing_is_drawn_and_nothing_changes_when_nothing_is_asked():
    pixels, generator = patches(), seeded(0)
    draws = Augmentation().draw(48, 32, 32, generator)
    assert torch.equal(generator.get_state(), seeded(0).get_state())
    assert torch.equal(Augmentation().augment_pixels(pixels, draws), pixels)
    assert torch.equal(Augmentation().augment_inputs(inputs_of(pixels), draws), inputs_of(pixels))
    assert [len(drawn) for drawn in draws.share(1, 2)] == [24] * len(draws)


def test_half_of_the_images_are_mirrored():
    flips = Augmentation(flip=True).draw(10_000, 32, 32, seeded(0)).flip
    assert 0.48 < flips.float().mean() < 0.52  # four standard errors


def test_every_crop_is_as_likely_as_another():
    offsets = Augmentation(pad=4).draw(81_000, 32, 32, seeded(0)).offset
    counts = torch.bincount(9 * offsets[:, 0] + offsets[:, 1], minlength=81)
    assert len(counts) == 81
    assert counts.min() > 850  # 1,000 expected, standard deviation 31
    assert counts.max() < 1150


def test_every_pixel_is_as_likely_a_centre_as_another():
    centres = Augmentation(cutout=16).draw(240_000, 12, 20, seeded(0)).centre
    counts = torch.bincount(20 * centres[:, 0] + centres[:, 1], minlength=240)
    assert len(counts) == 240
    assert counts.min() > 850
    assert counts.max() < 1150


def test_every_operation_and_both_signs_are_as_likely_as_another():
    draws = Augmentation(randaugment_n=3, randaugment_m=4).draw(14_000, 32, 32, seeded(0))
    assert draws.operations.shape == draws.negative.shape == (14_000, 3)
    for operations, negative in zip(draws.operations.unbind(1), draws.negative.unbind(1), strict=True):
        counts = torch.bincount(2 * operations + negative, minlength=28)
        assert len(counts) == 28
        assert counts.min() > 380  # 500 expected, standard deviation 22
        assert counts.max() < 620


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"pad": -1}, "pad must not be negative: got -1. 0 turns it off."),
        ({"cutout": -16}, "cutout must not be negative: got -16. 0 turns it off."),
        ({"randaugment_n": -2}, "randaugment_n must not be negative: got -2. 0 turns it off."),
        ({"magnitude_max": 0}, "magnitude_max must be positive: got 0. torchvision's is 30."),
        (
            {"randaugment_m": 31},
            "randaugment_m must be in 0..magnitude_max: got 31, magnitude_max 30. "
            "Lower randaugment_m or raise magnitude_max.",
        ),
        ({"randaugment_m": -1}, "randaugment_m must be in 0..magnitude_max: got -1"),
        ({"randaugment_m": float("nan")}, "randaugment_m must be in 0..magnitude_max: got nan"),
        ({"randaugment_m": 14, "magnitude_max": 10}, "got 14, magnitude_max 10"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Augmentation(**numbers)


def test_randaugment_refuses_images_that_are_not_bytes_of_one_or_three_channels():
    draws = EVERYTHING.draw(48, 32, 32, seeded(0))
    with pytest.raises(ValueError, match=re.escape("got torch.float32, 3 channels. Apply it before standardising")):
        EVERYTHING.augment_pixels(patches().float(), draws)
    with pytest.raises(ValueError, match=re.escape("got torch.uint8, 2 channels")):
        EVERYTHING.augment_pixels(patches(channels=2), draws)


def test_no_shape_and_no_step_depends_on_what_is_on_a_device():
    """The meta device has shapes and no values: whatever asks for a value, or how many there are, fails there."""
    draws = EVERYTHING.draw(48, 32, 32, seeded(0))
    there = type(draws)(*(drawn.to("meta") for drawn in draws)).share(1, 2)
    pixels = EVERYTHING.augment_pixels(patches(24).to("meta"), there)
    inputs = EVERYTHING.augment_inputs(pixels.float(), there)
    assert (pixels.dtype, inputs.shape) == (torch.uint8, (24, 3, 32, 32))
    with pytest.raises(NotImplementedError):
        there.flip.nonzero()
    with pytest.raises((NotImplementedError, RuntimeError)):
        there.centre.max().item()
