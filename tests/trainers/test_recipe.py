"""Finding recipes and overriding their numbers; every message is checked whole."""

from dataclasses import dataclass

import pytest

from trainers import recipe
from trainers.descriptors.digits_mlp import RECIPE as DIGITS
from trainers.recipe import Numbers, Recipe, RecipeError, number

OURS = [  # others may be installed beside them
    "cifar10-resnet56",
    "cifar10-wrn28x10",
    "cifar100-wrn28x10",
    "digits-mlp",
    "imagenet-resnet18",
    "images",
    "mnist-simplenet",
]


@dataclass(frozen=True, kw_only=True)
class Plenty(Numbers):
    """A number of every kind."""

    augment: bool = number(True, "whether images are flipped")
    decay: float = number(0.5, "per step", 0.1)
    schedule: str = number("cosine", "of the learning rate")
    share: float = number(0.0, "of the labels", 0, 1)
    layers: int = number(4, "of the network", 1, 8)
    layout: str = number("rows", "of the memory", choices=("rows", "columns"))


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
    known = ", ".join(recipe.names())
    assert str(caught.value) == f"no recipe is named 'digit-mlp'. Known: {known}. Did you mean digits-mlp?"


@pytest.mark.parametrize("name", OURS)
def test_a_recipes_functions_exist(name):
    found = recipe.find(name)
    optional = filter(None, (found.check_data, found.identify_data, found.download, found.check))
    references = (found.run, found.load, found.build, *optional)
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
        ("augment", "TRUE", True),
        ("schedule", "step", "step"),
        ("schedule", 3, "3"),
        ("layout", "columns", "columns"),
    ],
)
def test_text_and_json_values_take_the_type_of_their_number(name, text, value):
    converted = getattr(PLENTY.with_overrides({name: text}), name)
    assert (converted, type(converted)) == (value, type(value))


def test_an_unknown_number_is_refused_with_those_of_nearly_that_name():
    assert refused({"epoch": "3"}) == (
        "digits-mlp has no number epoch: got epoch=3. Use epochs; seqnorm recipes digits-mlp lists them all."
    )


@pytest.mark.parametrize("value", ["many", "1.5", 1.5, True, "", None, [3], "٣", "３"], ids=repr)
def test_what_is_no_whole_number_is_refused(value):
    assert refused({"epochs": value}) == (
        f"epochs must be a whole number (passes over the training split): got {value!r}. The default is 10."
    )


@pytest.mark.parametrize("value", ["fast", "nan", "inf", False, None, 10**400, "٠.٥"], ids=lambda value: str(value)[:5])
def test_what_is_no_finite_number_is_refused(value):
    assert refused({"learning_rate": value}) == (
        f"learning_rate must be a number (per step of plain SGD, for the whole batch): got {value!r}. "
        "The default is 0.2."
    )


@pytest.mark.parametrize(
    ("value", "read"), [("yes", True), ("On", True), ("no", False), ("off", False), ("TRUE", True)]
)
def test_true_and_false_are_written_as_people_write_them(value, read):
    assert PLENTY.with_overrides({"augment": value}).augment is read


@pytest.mark.parametrize("value", ["maybe", 1, "", "y"])
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


def test_a_number_over_its_bound_is_refused():
    assert refused({"share": "1.01"}, PLENTY) == (
        "share must be at most 1 (of the labels): got 1.01. The default is 0.0."
    )
    assert refused({"layers": 9}, PLENTY) == "layers must be at most 8 (of the network): got 9. The default is 4."
    assert refused({"dropout": 1}) == (
        "dropout must be at most 0.99 (probability (paper A.3: 0.03, 0.1, 0.2, 0.3, 0.4)): got 1. The default is 0.0."
    )


def test_a_number_at_its_upper_bound_is_taken():
    numbers = PLENTY.with_overrides({"share": 1, "layers": "8"})
    assert (numbers.share, numbers.layers) == (1.0, 8)


def test_a_whole_number_without_a_bound_must_fit_in_a_database():
    assert PLENTY.with_overrides({"split_seed": 2**31 - 1}).split_seed == 2**31 - 1
    assert refused({"split_seed": 2**31}, PLENTY) == (
        "split_seed must be at most 2147483647 (seed of the train / validation / test split): got 2147483648. "
        "The default is 0."
    )


@dataclass(frozen=True, kw_only=True)
class Redeclared(Numbers):
    """Numbers of every recipe, with other defaults and no limits."""

    batch: int = number(64, "samples per step")
    epochs: int = number(3, "passes")


@pytest.mark.parametrize(("name", "most"), [("batch", 2**20), ("epochs", 100_000)])
def test_a_recipe_that_redeclares_a_number_keeps_its_upper_limit(name, most):
    own = Recipe(name="own", title="", numbers=Redeclared, run="", load="", widths=lambda numbers: None)
    assert getattr(own.with_overrides({name: most}), name) == most
    assert refused({name: most + 1}, own).startswith(f"{name} must be at most {most} (")


@pytest.mark.parametrize("name", OURS)
def test_every_whole_number_of_our_recipes_has_a_limit_but_seeds_and_sizes_of_subsets(name):
    numbers = vars(recipe.find(name).numbers())
    whole = [key for key, value in numbers.items() if type(value) is int and key not in ("split_seed", "subset")]
    for key in whole:
        assert refused({key: 2**30}, recipe.find(name)).startswith(f"{key} must be at most ")


@pytest.mark.parametrize("value", ["a\0", "a\nb", "\ud800"], ids=repr)
def test_text_that_a_database_or_an_answer_cannot_hold_is_refused(value):
    assert refused({"schedule": value}, PLENTY) == (
        f"schedule must hold no control characters or lone surrogates (of the learning rate): got {value!r}. "
        "The default is cosine."
    )


def test_names_and_texts_have_a_length():
    assert refused({"n" * 101: 1}) == (
        "the name of a number must have at most 100 characters: got 101. seqnorm recipes digits-mlp lists the names."
    )
    assert PLENTY.with_overrides({"schedule": "s" * 1000}).schedule == "s" * 1000
    for name in ("schedule", "epochs", "decay", "augment"):
        assert refused({name: "1" * 1001}, PLENTY).startswith(f"{name} must have at most 1000 characters (")


@pytest.mark.parametrize("value", ["row", "Rows", "", None, 1], ids=repr)
def test_text_that_is_no_choice_is_refused_with_the_choices(value):
    assert refused({"layout": value}, PLENTY) == (
        f"layout must be one of rows, columns (of the memory): got {value!r}. The default is rows."
    )


def test_the_loops_choices_are_kept():
    assert refused({"precision": "fp64"}) == (
        "precision must be one of fp32, bf16, fp16 (of forward and backward pass): got 'fp64'. The default is fp32."
    )
    assert refused({"device": "gpu"}) == (
        "device must be one of auto, cpu, cuda (kind of device; auto takes GPUs if there are any): got 'gpu'. "
        "The default is auto."
    )


@pytest.mark.parametrize("name", OURS)
def test_a_recipes_presets_and_its_numbers_without_normalization_are_its_own(name):
    found = recipe.find(name)
    for overrides in (found.unnormalized, *found.presets.values()):
        numbers = vars(found.with_overrides(overrides))
        assert {key: numbers[key] for key in overrides} == dict(overrides)
