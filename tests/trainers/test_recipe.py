"""Finding recipes and overriding their numbers; every message is checked whole."""

from dataclasses import dataclass

import pytest

from trainers import recipe
from trainers.descriptors.digits_mlp import RECIPE as DIGITS
from trainers.recipe import Numbers, Recipe, RecipeError, number

OURS = ["digits-mlp", "mnist-simplenet"]  # others may be installed beside them


@dataclass(frozen=True, kw_only=True)
class Plenty(Numbers):
    """A number of every kind."""

    augment: bool = number(True, "whether images are flipped")
    decay: float = number(0.5, "per step", 0.1)
    schedule: str = number("cosine", "of the learning rate")


PLENTY = Recipe(name="plenty", title="", numbers=Plenty, run="", load="", widths=lambda numbers: None)


def refused(overrides, of=DIGITS):
    """Return the message that the overrides are refused with."""
    with pytest.raises(RecipeError) as caught:
        of.with_overrides(overrides)
    return str(caught.value)


def test_the_installed_recipes_are_named_in_order():
    assert recipe.names() == sorted(recipe.names())
    assert set(OURS) <= set(recipe.names())


@pytest.mark.parametrize("name", OURS)
def test_a_recipe_is_found_by_its_own_name(name):
    assert recipe.find(name).name == name


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError) as caught:
        recipe.find("digit-mlp")
    assert str(caught.value) == f"no recipe is named 'digit-mlp'. Known: {', '.join(recipe.names())}."


@pytest.mark.parametrize("name", OURS)
def test_a_recipes_functions_exist(name):
    found = recipe.find(name)
    references = filter(None, (found.run, found.load, found.check_data))
    assert all(callable(recipe.resolve(reference)) for reference in references)


@pytest.mark.parametrize("name", OURS)
def test_a_recipes_defaults_keep_its_own_bounds(name):
    found = recipe.find(name)
    defaults = found.numbers()
    assert found.with_overrides(vars(defaults)) == defaults


def test_without_overrides_the_defaults_hold():
    assert DIGITS.with_overrides({}) == DIGITS.numbers()


def test_overrides_replace_their_numbers_and_no_others():
    numbers = DIGITS.with_overrides({"epochs": 3, "learning_rate": 0.5})
    assert vars(numbers) == {**vars(DIGITS.numbers()), "epochs": 3, "learning_rate": 0.5}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "3", 3),
        ("learning_rate", "1e-3", 0.001),
        ("learning_rate", 1, 1.0),
        ("augment", "False", False),
        ("augment", True, True),
        ("schedule", "step", "step"),
    ],
)
def test_text_and_json_values_take_the_type_of_their_number(name, text, value):
    converted = getattr(PLENTY.with_overrides({name: text}), name)
    assert (converted, type(converted)) == (value, type(value))


def test_an_unknown_number_is_refused_with_the_known_ones():
    assert refused({"epoch": "3"}) == (
        "digits-mlp has no number epoch: got epoch=3. "
        "Known: batch, devices, min_group, epochs, learning_rate, split_seed, width."
    )


@pytest.mark.parametrize("value", ["many", "1.5", 1.5, True, "", None, [3]], ids=repr)
def test_what_is_no_whole_number_is_refused(value):
    assert refused({"epochs": value}) == (
        f"epochs must be a whole number (passes over the training split): got {value!r}. The default is 10."
    )


@pytest.mark.parametrize("value", ["fast", "nan", "inf", False, None, 10**400], ids=lambda value: str(value)[:5])
def test_what_is_no_finite_number_is_refused(value):
    assert refused({"learning_rate": value}) == (
        f"learning_rate must be a number (per step of plain SGD, for the whole batch): got {value!r}. "
        "The default is 0.2."
    )


@pytest.mark.parametrize("value", ["yes", 1, ""])
def test_what_is_neither_true_nor_false_is_refused(value):
    assert refused({"augment": value}, PLENTY) == (
        f"augment must be a true or false (whether images are flipped): got {value!r}. The default is True."
    )


def test_a_number_under_its_bound_is_refused():
    assert refused({"epochs": 0}) == (
        "epochs must be at least 1 (passes over the training split): got 0. The default is 10."
    )
    assert refused({"decay": "0.05"}, PLENTY) == "decay must be at least 0.1 (per step): got 0.05. The default is 0.5."


def test_a_number_at_its_bound_is_taken():
    assert PLENTY.with_overrides({"decay": 0.1, "epochs": 1, "min_group": 2, "learning_rate": 0}).decay == 0.1
