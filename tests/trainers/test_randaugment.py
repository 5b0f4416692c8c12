"""Every operation of RandAugment against torchvision's own, bit for bit, on photographs and handwritten digits."""

import functools

import pytest
import torch
from torchvision.transforms import InterpolationMode, RandAugment
from torchvision.transforms import functional as one_image
from torchvision.transforms.autoaugment import _apply_op

from tests.trainers.test_augmentation import patches, seeded
from trainers.augment import randaugment as module
from trainers.augment.augmentation import Augmentation, Draws
from trainers.augment.operations import OPERATIONS
from trainers.data.mnist import read_bundled

MAGNITUDES = (0, 1, 4, 5, 9, 14, 20, 30)  # 4 shears row 12 by half a pixel, which rounding decides


@functools.cache
def digits():
    """Return MNIST's first 3 of every class, (30, 1, 28, 28)."""
    return torch.tensor(read_bundled()[0]).view(10, 500, 1, 28, 28)[:, :3].flatten(0, 1)


def flat_images():
    """Return images of one, two and three grey levels, and some with a single pixel that differs."""
    images = torch.full((6, 3, 32, 32), 77, dtype=torch.uint8)
    images[1, 0, :16] = 200
    images[2, :, :3], images[2, :, 3:6] = 0, 255
    images[3, 1, 5, 5] = 255
    images[4] = 0
    images[5] = 255
    return images


SETS = {
    "photographs 32 × 32": lambda: patches(24),
    "photographs 20 × 44": lambda: patches(12, 3, 20, 44),
    "photographs of one channel": lambda: patches(12, 1, 33, 17),
    "digits": digits,
    "flat images": flat_images,
    "images of two rows": lambda: patches(12, 3, 2, 8),
}


def drawn(images, operations, negative):
    """Return draws of given operations and signs for every image."""
    none = torch.zeros((images, 2), dtype=torch.int64)
    return Draws(
        flip=none[:, 0].bool(),
        offset=none,
        centre=none,
        operations=torch.tensor([operations]).expand(images, -1),
        negative=torch.tensor([negative]).expand(images, -1),
    )


def torchvisions(images, operations, negative, magnitude):
    """Apply torchvision's operations to one image after another; ``operations`` and ``negative`` are (N, n) lists."""
    space = RandAugment()._augmentation_space(31, tuple(images.shape[2:]))
    results = []
    for image, names, signs in zip(images, operations, negative, strict=True):
        for index, minus in zip(names, signs, strict=True):
            magnitudes, signed = space[OPERATIONS[index]]
            strength = magnitudes[magnitude].item() if magnitudes.ndim else 0.0
            image = _apply_op(
                image, OPERATIONS[index], -strength if signed and minus else strength, InterpolationMode.NEAREST, None
            )
        results.append(image)
    return torch.stack(results)


def test_the_operations_are_torchvisions():
    assert tuple(RandAugment()._augmentation_space(31, (32, 32))) == OPERATIONS


@pytest.mark.parametrize("images", SETS.values(), ids=SETS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_is_torchvisions_to_the_last_bit(operation, images):
    images, index = images(), OPERATIONS.index(operation)
    for magnitude in MAGNITUDES:
        augmentation = Augmentation(randaugment_n=1, randaugment_m=magnitude)
        for negative in (False, True):
            result = augmentation.augment_pixels(images, drawn(len(images), [index], [negative]))
            expected = torchvisions(images, [[index]] * len(images), [[negative]] * len(images), magnitude)
            assert torch.equal(result, expected), (magnitude, negative)


@pytest.mark.parametrize("waited_for", [False, True])
def test_drawn_operations_follow_one_another_as_in_torchvision(waited_for, monkeypatch):
    monkeypatch.setattr(module, "_sync_is_slow", lambda device: waited_for)
    augmentation = Augmentation(randaugment_n=3, randaugment_m=14)
    images = patches(200)
    draws = augmentation.draw(200, 32, 32, seeded(0))
    expected = torchvisions(images, draws.operations.tolist(), draws.negative.tolist(), 14)
    assert torch.equal(augmentation.augment_pixels(images, draws), expected)


def test_both_signs_of_a_signed_operation_differ_and_unsigned_ones_have_none():
    augmentation = Augmentation(randaugment_n=1, randaugment_m=14)
    unsigned = {"Identity", "Posterize", "Solarize", "AutoContrast", "Equalize"}
    for index, operation in enumerate(OPERATIONS):
        plus, minus = (augmentation.augment_pixels(patches(), drawn(48, [index], [sign])) for sign in (False, True))
        assert torch.equal(plus, minus) == (operation in unsigned), operation


def test_a_magnitude_counts_as_a_share_of_the_largest():
    index = OPERATIONS.index("Rotate")
    of_thirty, of_ten = (
        Augmentation(randaugment_n=1, randaugment_m=m, magnitude_max=most).augment_pixels(
            patches(), drawn(48, [index], [False])
        )
        for m, most in ((15, 30), (5, 10))
    )
    assert torch.equal(of_thirty, of_ten)
    assert not torch.equal(of_thirty, patches())


def test_magnitudes_between_whole_ones_are_taken():
    rotated = Augmentation(randaugment_n=1, randaugment_m=7.3).augment_pixels(
        patches(), drawn(48, [OPERATIONS.index("Rotate")], [True])
    )
    assert torch.equal(rotated, one_image.rotate(patches(), -7.3))


def test_images_in_channels_last_give_the_same():
    augmentation = Augmentation(randaugment_n=2, randaugment_m=14)
    draws = augmentation.draw(48, 32, 32, seeded(0))
    result = augmentation.augment_pixels(patches().contiguous(memory_format=torch.channels_last), draws)
    assert torch.equal(result, augmentation.augment_pixels(patches(), draws))
