"""NAME=VALUE, as both command lines take it."""

import pytest

from search.cli.fields import parse_assignments
from search.vocabulary.errors import InvalidSpec
from trainers.assignments import read_assignments
from trainers.recipe import RecipeError


def test_pairs_become_a_dictionary_whose_values_may_hold_the_sign_or_nothing():
    assert read_assignments(["epochs=5", "journal=a=b", "note="]) == {"epochs": "5", "journal": "a=b", "note": ""}
    assert read_assignments([]) == {}


REFUSED = {
    "epochs": "--set must be NAME=VALUE: got 'epochs'. Give e.g. --set epochs=10.",
    "=5": "--set must be NAME=VALUE: got '=5'. Give e.g. --set epochs=10.",
    "": "--set must be NAME=VALUE: got ''. Give e.g. --set epochs=10.",
    "epochs=1 epochs=2 epochs=1": "--set must give a number once: got epochs 3 times. Leave one.",
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_is_no_pair_or_comes_twice_is_refused_alike_by_both_command_lines(given):
    pairs = given.split() or [given]
    with pytest.raises(RecipeError) as by_hand:
        read_assignments(pairs)
    with pytest.raises(InvalidSpec) as of_seqnorm:
        parse_assignments(pairs)
    assert str(by_hand.value) == str(of_seqnorm.value) == REFUSED[given]
