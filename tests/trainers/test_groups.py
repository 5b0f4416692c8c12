"""What gm means on other numbers of devices, and who can share a batch."""

import pytest

from search.plan.spec import parse_spec
from search.vocabulary.errors import InvalidSpec
from trainers.devices import check
from trainers.groups import real_groups, share_of_batch
from trainers.recipe import RecipeError, find


@pytest.mark.parametrize(
    ("gm", "devices", "real_devices", "groups"),
    [(4, 1, 1, 4), (1, 8, 1, 8), (2, 8, 1, 16), (2, 8, 8, 2), (2, 8, 4, 4), (3, 8, 12, 2), (0, 8, 3, 0)],
)
def test_real_devices_share_the_groups_of_the_papers_devices(gm, devices, real_devices, groups):
    assert real_groups(gm, devices, real_devices) == groups
    assert real_groups(gm, devices, 1, real_devices) == groups  # a pass counts as a device


def test_groups_that_devices_and_passes_cannot_share_evenly_are_refused():
    with pytest.raises(RecipeError) as caught:
        real_groups(2, 8, 3, 2)
    assert str(caught.value) == (
        "gm × devices must divide over real_devices × accumulate: got 2 × 8 over 3 × 2. "
        "Use gm up from 3, or fewer real_devices or passes."
    )
    assert real_groups(3, 8, 3, 2) == 4


def test_whoever_divides_a_batch_has_a_share_of_it():
    assert share_of_batch(512, devices=8) == 64
    assert share_of_batch(126, real_devices=2, accumulate=3) == 21


def test_a_batch_that_cannot_be_shared_is_refused_with_what_was_to_share_it():
    with pytest.raises(RecipeError) as caught:
        share_of_batch(500, devices=8)
    assert str(caught.value) == (
        "the batch must divide over devices: got batch=500 over 8. Choose a multiple (--set batch=…)."
    )


def test_a_batch_is_refused_with_the_same_words_before_a_search_and_in_a_trial():
    numbers = {"batch": 128, "real_devices": 3, "accumulate": 2}
    with pytest.raises(InvalidSpec) as before:
        parse_spec({"recipe": "digits-mlp", "gm": [1], "gc": [1], "numbers": numbers})
    with pytest.raises(RecipeError) as in_trial:
        check("cpu", 3, 128, 2)
    assert str(before.value) == str(in_trial.value)


def test_groups_are_refused_with_the_same_words_before_a_search_and_in_a_trial():
    numbers = {"batch": 128, "real_devices": 2, "accumulate": 2}
    with pytest.raises(InvalidSpec) as before:
        parse_spec({"recipe": "digits-mlp", "gm": [2], "gc": [1], "numbers": numbers})
    of = find("digits-mlp").with_overrides(numbers)
    with pytest.raises(RecipeError) as in_trial:
        real_groups(2, of.devices, of.real_devices, of.accumulate)
    assert str(before.value) == str(in_trial.value)
