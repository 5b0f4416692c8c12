"""Splits hold the same share of every class, never share an image, and depend on the split's seed alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trainers.data.split import cap_splits, check_sizes, prepare_splits, split_in_three, split_in_two, stratified_sample
from trainers.descriptors.numbers import TrainingNumbers
from trainers.recipe import RecipeError

LABELS = np.repeat([0, 1, 2], [50, 100, 7])
PIXELS = np.arange(157, dtype=np.uint8).reshape(-1, 1, 1)  # every image is its own number


def counts(labels):
    return np.bincount(labels, minlength=3).tolist()


def three(seed=0):
    return split_in_three(PIXELS, LABELS, seed, "numbers")


def test_a_fraction_of_every_class_is_drawn_rounded():
    drawn, others = stratified_sample(LABELS, 0.14, seed=0)
    assert counts(LABELS[drawn]) == [7, 14, 1]
    assert counts(LABELS[others]) == [43, 86, 6]


def test_what_is_drawn_and_the_others_are_everything_once_in_order():
    drawn, others = stratified_sample(LABELS, 0.3, seed=0)
    assert np.union1d(drawn, others).tolist() == list(range(157))
    assert len(drawn) + len(others) == 157
    assert (np.diff(drawn) > 0).all()
    assert (np.diff(others) > 0).all()


def test_members_are_drawn_at_random_within_their_class():
    drawn, _ = stratified_sample(LABELS, 0.14, seed=0)
    assert drawn[:7].tolist() != list(range(7))


def test_three_splits_hold_every_class_in_proportion():
    images = three()
    assert counts(images.test_y) == counts(images.validation_y) == [7, 14, 1]
    assert counts(images.train_y) == [36, 72, 5]


def test_three_splits_hold_every_image_once_with_its_label():
    images = three()
    pixels = np.concatenate([images.train_x, images.validation_x, images.test_x]).flatten()
    labels = np.concatenate([images.train_y, images.validation_y, images.test_y])
    assert sorted(pixels) == list(range(157))
    assert (LABELS[pixels] == labels).all()


def test_two_splits_leave_the_given_test_set_as_it_is():
    images = split_in_two(PIXELS, LABELS, PIXELS[:3], LABELS[:3], 0, "numbers", held_out=0.1)
    assert images.test_x is not PIXELS
    assert images.test_x.flatten().tolist() == [0, 1, 2]
    assert counts(images.validation_y) == [5, 10, 1]
    assert counts(images.train_y) == [45, 90, 6]


def test_classes_count_from_0_to_the_largest_label():
    assert three().classes == 3
    assert split_in_two(PIXELS, LABELS, PIXELS[:1], np.array([4]), 0, "", held_out=0.1).classes == 5


def test_the_same_seed_splits_alike():
    assert (three(seed=5).validation_x == three(seed=5).validation_x).all()
    assert (three(seed=5).test_x == three(seed=5).test_x).all()


def test_another_seed_splits_otherwise():
    assert (three(seed=5).validation_x != three(seed=6).validation_x).any()
    assert (three(seed=5).test_x != three(seed=6).test_x).any()


def test_the_seeds_of_a_trial_do_not_move_the_splits():
    before = three()
    torch.manual_seed(1)
    np.random.seed(1)
    assert (three().train_x == before.train_x).all()


def refused(images, batch):
    with pytest.raises(RecipeError) as caught:
        check_sizes(images, batch)
    return str(caught.value)


def test_a_training_split_that_just_fills_a_batch_is_taken():
    images = three()
    assert check_sizes(images, 113) is images


def test_a_training_split_that_fills_no_batch_is_refused():
    assert refused(three(), 114) == (
        "the training split must fill a batch: got 113 of numbers for batch=114. "
        "Give more images or a smaller batch (--set batch=…)."
    )


def test_so_few_images_that_splits_stay_empty_are_refused():
    few = split_in_three(PIXELS[:6], np.array([0, 0, 0, 1, 1, 1]), 0, "numbers")
    assert refused(few, 4) == (
        "every split must hold an image: got 6 for training, 0 for validation, 0 for test of numbers. "
        "Give more images of each class."
    )


@pytest.mark.parametrize(("split", "got"), [("validation", "0 for validation, 22"), ("test", "22 for validation, 0")])
def test_one_empty_split_is_refused(split, got):
    images = replace(three(), **{f"{split}_x": PIXELS[:0], f"{split}_y": LABELS[:0]})
    assert refused(images, 4) == (
        f"every split must hold an image: got 113 for training, {got} for test of numbers. "
        "Give more images of each class."
    )


SPLITS = ("train", "validation", "test")


def sizes(images):
    return [len(getattr(images, f"{split}_y")) for split in SPLITS]


@pytest.mark.parametrize("subset", [1, 2, 3, 10, 29, 112])
def test_a_cap_leaves_exactly_as_many_images_of_every_split_or_all_it_has(subset):
    assert sizes(cap_splits(three(), subset, seed=0)) == [subset, min(subset, 22), min(subset, 22)]


@pytest.mark.parametrize(
    ("subset", "kept"),
    [(56, [18, 36, 2]), (10, [3, 6, 1]), (5, [2, 2, 1]), (3, [1, 1, 1]), (2, [1, 1, 0]), (1, [0, 1, 0])],
)
def test_a_cap_keeps_the_proportions_and_an_image_of_every_class_if_it_can(subset, kept):
    assert counts(three().train_y) == [36, 72, 5]
    assert counts(cap_splits(three(), subset, seed=0).train_y) == kept


def test_a_cap_takes_from_the_largest_class_what_the_rare_ones_are_given():
    rare = replace(three(), train_x=PIXELS, train_y=np.repeat(np.arange(4), [154, 1, 1, 1]))
    assert np.bincount(cap_splits(rare, 6, seed=0).train_y).tolist() == [3, 1, 1, 1]


def test_no_cap_keeps_all_images_without_a_copy():
    images = three()
    for subset in (0, 113, 200):
        assert np.shares_memory(cap_splits(images, subset, seed=0).train_x, images.train_x)
        assert sizes(cap_splits(images, subset, seed=0)) == sizes(images)


def test_what_a_cap_keeps_are_images_of_the_split_with_their_labels_in_order():
    images = three()
    kept = cap_splits(images, 20, seed=0)
    for split in SPLITS:
        pixels = getattr(kept, f"{split}_x").flatten().astype(int)
        assert (LABELS[pixels] == getattr(kept, f"{split}_y")).all()
        assert np.isin(pixels, getattr(images, f"{split}_x")).all()
        assert (np.diff(pixels) > 0).all()


def test_a_cap_draws_at_random_by_its_seed_alone():
    first, again, other = (cap_splits(three(), 30, seed).train_x for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_a_larger_cap_keeps_what_a_smaller_one_kept():
    small, large = (cap_splits(three(), subset, seed=0).train_x for subset in (20, 60))
    assert np.isin(small, large).all()


def test_a_cap_leaves_the_number_of_classes():
    assert cap_splits(three(), 1, seed=0).classes == 3


def test_a_cap_under_a_batch_is_refused():
    with pytest.raises(RecipeError) as caught:
        prepare_splits(three(), TrainingNumbers(batch=8, subset=7))
    assert str(caught.value).startswith("the training split must fill a batch: got 7 of numbers for batch=8.")


def test_every_split_is_capped_by_the_seed_of_the_split():
    images = prepare_splits(three(), TrainingNumbers(batch=8, subset=20, split_seed=3))
    assert (images.train_x == cap_splits(three(), 20, seed=3).train_x).all()
    assert sizes(images) == [20, 20, 20]


@pytest.mark.parametrize(
    ("pixels", "shape"), [((9, 2, 5), (1, 2, 5)), ((9, 2, 5, 3), (3, 2, 5)), ((9, 2, 5, 1), (1, 2, 5))]
)
def test_an_image_has_channels_height_and_width(pixels, shape):
    assert replace(three(), train_x=np.zeros(pixels, np.uint8)).shape == shape
