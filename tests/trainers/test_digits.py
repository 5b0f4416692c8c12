"""The digits that scikit-learn bundles."""

from pathlib import Path

import numpy as np
import pytest

from trainers.data import digits
from trainers.descriptors.digits_mlp import DigitsNumbers
from trainers.recipe import RecipeError


def test_all_digits_are_there_in_three_splits():
    images = digits.load(DigitsNumbers(), None, Path())
    assert [len(y) for y in (images.train_y, images.validation_y, images.test_y)] == [1295, 252, 250]
    assert images.train_x.shape == (1295, 8, 8)
    assert (images.train_x.dtype, images.train_y.dtype) == (np.uint8, np.int64)
    assert (images.classes, images.source) == (10, "the digits of scikit-learn")


def test_the_split_seed_chooses_the_splits():
    first, again, other = (digits.load(DigitsNumbers(split_seed=seed), None, Path()) for seed in (0, 0, 1))
    assert (first.validation_x == again.validation_x).all()
    assert (first.validation_x != other.validation_x).any()


def test_a_batch_larger_than_the_training_split_is_refused():
    with pytest.raises(RecipeError) as caught:
        digits.load(DigitsNumbers(batch=1296), None, Path())
    assert str(caught.value) == (
        "the training split must fill a batch: got 1295 of the digits of scikit-learn for batch=1296. "
        "Give more images or a smaller batch (--set batch=…)."
    )
