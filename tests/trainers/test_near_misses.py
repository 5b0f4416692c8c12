"""What a mistyped name was meant to be."""

import pytest

from trainers.near_misses import did_you_mean, near_misses

KNOWN = ("digits-mlp", "cifar10-wrn28x10", "cifar100-wrn28x10", "gm", "gc", "learning_rate", "weight_decay", "gc-files")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("digit-mlp", "digits-mlp"),
        ("Digits_MLP", "digits-mlp"),
        ("gcc", "gc"),
        ("digits", "digits-mlp"),
        ("lr", "learning_rate"),
        ("wd", "weight_decay"),
        ("learning-rate", "learning_rate"),
    ],
)
def test_a_name_is_meant_that_is_spelt_alike_begun_or_abbreviated(word: str, meant: str) -> None:
    assert near_misses(word, KNOWN)[0] == meant


@pytest.mark.parametrize("word", ["", "  ", "resnet", "x" * 1_000_000])
def test_nothing_is_guessed_for_what_is_like_no_name(word: str) -> None:
    assert did_you_mean(word, KNOWN) == ""


def test_several_that_are_equally_near_are_all_named() -> None:
    assert did_you_mean("cifar-wrn28x10", KNOWN) == " Did you mean cifar10-wrn28x10 or cifar100-wrn28x10?"
