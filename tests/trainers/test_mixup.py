"""Mixup of the real digits."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from trainers.data import digits
from trainers.mixup import mixup_batch
from trainers.recipe import find

CLASSES = 10


@pytest.fixture(scope="module")
def batch():
    images = digits.load(find("digits-mlp").numbers(), None, Path())
    return torch.tensor(images.train_x[:64], dtype=torch.float32).unsqueeze(1), torch.tensor(images.train_y[:64])


def draw(batch, seed, alpha=0.2):
    """Mix; return inputs, targets, and the share and order that the same seed gives."""
    torch.manual_seed(seed)
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(64)
    torch.manual_seed(seed)
    return *mixup_batch(*batch, CLASSES, alpha), share, order


def test_every_image_is_mixed_with_one_of_its_batch_by_the_same_share(batch):
    inputs, _, share, order = draw(batch, seed=1, alpha=1.0)
    assert 0.05 < share < 0.95
    torch.testing.assert_close(inputs, share * batch[0] + (1 - share) * batch[0][order])


def test_labels_are_mixed_as_their_images_are(batch):
    _, targets, share, order = draw(batch, seed=1, alpha=1.0)
    whole = F.one_hot(batch[1], CLASSES).float()
    torch.testing.assert_close(targets, share * whole + (1 - share) * whole[order])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(64))


def test_the_share_follows_the_beta_distribution(batch):
    torch.manual_seed(0)
    one = torch.ones(2, 1)
    labels = torch.tensor([0, 1])
    shares = []
    for _ in range(2000):
        _, targets = mixup_batch(one, labels, 2, 0.2)
        shares.append(targets[0, 0].item())
    kept = torch.tensor([share for share in shares if share < 1])  # the others were mixed with themselves
    assert 900 < len(kept) < 1100  # one order of two
    assert kept.mean().item() == pytest.approx(0.5, abs=0.04)
    assert kept.var().item() == pytest.approx(0.25 / 1.4, abs=0.02)  # 1 / (4 (2 α + 1))


def test_the_batch_itself_is_left_alone(batch):
    before = batch[0].clone(), batch[1].clone()
    inputs, targets, *_ = draw(batch, seed=2)
    assert all(map(torch.equal, batch, before))
    assert inputs.shape == batch[0].shape
    assert (targets.shape, targets.dtype) == ((64, CLASSES), torch.float32)


def test_the_same_seed_mixes_alike_and_another_one_does_not(batch):
    first, again, other = (draw(batch, seed, 1.0)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
