"""What a spec may say. Every refusal is one sentence or two: the rule, what was received, what to do."""

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest

from search.plan.grouping import gc_error, gm_error
from search.plan.selection import RULES
from search.plan.spec import SearchSpec, convert_values, find_refused_values, parse_spec, read_stored
from search.plan.strategies import STRATEGIES
from search.vocabulary.errors import InvalidSpec
from trainers.commands.command import Command, CommandNumber
from trainers.commands.files import find_file
from trainers.recipe import Numbers, Recipe, find, number

FIELDS = {"recipe": "mnist-simplenet", "gm": [1, 2, 4], "gc": [1, 2]}


@dataclass(frozen=True, kw_only=True)
class ConvNumbers(Numbers):
    """Numbers as in the paper's CIFAR recipes: 8 devices of 64 images."""

    batch: int = number(512, "samples per step, over all devices", 1)
    devices: int = number(8, "devices", 1)
    augment: bool = number(False, "whether images are augmented")
    optimizer: str = number("sgd", "name of an optimizer")


CONV = Recipe(
    name="conv",
    title="eight devices, widths 64 and 96",
    numbers=ConvNumbers,
    run="conv:run",
    load="conv:load",
    widths=lambda numbers: (64, 96),
)


def spec(**changes) -> SearchSpec:
    return parse_spec({**FIELDS, **changes})


def either(names) -> str:
    *some, last = map(repr, names)
    return f"{', '.join(some)} or {last}"


def refused(**changes) -> str:
    with pytest.raises(InvalidSpec) as error:
        spec(**changes)
    return str(error.value)


# Accepted


def test_a_spec_of_three_fields_takes_every_default():
    taken = spec().model_dump(mode="json")
    assert taken == taken | {
        "recipe": "mnist-simplenet",
        "strategy": "sequential",
        "gm": [1, 2, 4],
        "gc": [1, 2],
        "seeds": [0, 1, 2],
        "test_seeds": 3,
        "gm_rule": "largest-stable",
        "gc_rule": "best-mean",
        "tolerance": "auto",
        "cpus": 1.0,
        "gpus": 0.0,
        "memory_gb": None,
        "concurrency": None,
        "trial_timeout": None,
        "max_failures_in_a_row": 10,
        "priority": 0,
        "numbers": {},
        "variants": {"main": {}},
        "vary": {},
        "vary_rule": "best-mean",
        "order": [],
        "rounds": 0,
        "check_rule": None,
        "baselines": ["batchnorm", "none"],
        "baseline_variant": "",
        "test_numbers": {},
        "data": None,
        "name": "",
        "tags": [],
        "note": "",
    }


def test_a_full_spec_survives_a_round_trip_through_json():
    full = SearchSpec(
        recipe="conv",
        strategy="grid",
        gm=[1, 2],
        gc=[0, 4],
        seeds=[5, 7],
        test_seeds=2,
        gm_rule="best-mean",
        gc_rule="largest-stable",
        tolerance=0.002,
        numbers={"epochs": 3, "learning_rate": 0.05, "augment": True, "optimizer": "010"},
        variants={"main": {}, "strong": {"learning_rate": "0.2"}},
        data="digits.npz",
        name="Zwölf Ziffern",
        tags=["paper", "v1.2"],
        note="two\nlines",
    )
    assert SearchSpec(**full.model_dump(mode="json")) == full


def test_numbers_keep_their_kind():
    given = {"epochs": 3, "learning_rate": 0.5, "augment": True, "optimizer": "010"}
    numbers = SearchSpec(recipe="conv", gm=[1], gc=[1], numbers=given).resolve_numbers(CONV, "main")
    assert numbers == ConvNumbers(epochs=3, learning_rate=0.5, augment=True, optimizer="010")


def test_numbers_as_a_command_line_gives_them_are_converted():
    given = {"epochs": "3", "learning_rate": "5e-1", "augment": "true", "optimizer": "1.0"}
    numbers = SearchSpec(recipe="conv", gm=[1], gc=[1], numbers=given).resolve_numbers(CONV, "main")
    assert numbers == ConvNumbers(epochs=3, learning_rate=0.5, augment=True, optimizer="1.0")


def test_variants_override_the_searchs_numbers_and_none_trains_without_their_overrides():
    changed = spec(numbers={"epochs": 3}, variants={"fast": {"learning_rate": 0.8}, "long": {"epochs": 9}})
    trained = {name: changed.resolve_numbers(find("mnist-simplenet"), name) for name in ("fast", "long", "none")}
    assert {name: (n.epochs, n.learning_rate) for name, n in trained.items()} == {
        "fast": (3, 0.8),
        "long": (9, 0.4),
        "none": (3, 0.4),
    }


def test_a_count_of_seeds_becomes_a_list_from_0():
    assert spec(seeds=1).seeds == [0]
    assert spec(seeds=4).seeds == [0, 1, 2, 3]
    assert spec(seeds=[7, 3]).seeds == [7, 3]


def test_fresh_seeds_start_at_1000():
    assert spec(test_seeds=2).test_seed_values == [1000, 1001]


@pytest.mark.parametrize("tuned", [[999], [1000], [1001, 0], [5000], [0, 2**31 - 1]])
def test_fresh_seeds_never_meet_tuning_seeds(tuned):
    fresh = spec(seeds=tuned, test_seeds=64).test_seed_values
    assert len(set(fresh)) == 64
    assert min(fresh) >= 1000
    assert not set(fresh) & set(tuned)


def test_a_note_may_have_lines():
    assert spec(note="first\nsecond").note == "first\nsecond"


def test_a_data_set_that_fits_the_recipe_is_accepted(tmp_path):
    file = tmp_path / "own.npz"
    rng = np.random.default_rng(0)
    np.savez(file, x=rng.integers(0, 256, (900, 28, 28), dtype=np.uint8), y=np.arange(900) % 10)
    assert spec(data=str(file)).data == str(file)


# Refused by the form of a spec


def test_every_field_that_is_missing_is_asked_for():
    with pytest.raises(InvalidSpec, match=r"^recipe is required: got nothing\. Give name of an installed recipe\.$"):
        parse_spec({})
    with pytest.raises(InvalidSpec) as error:
        parse_spec({"recipe": "digits-mlp", "gm": [1]})
    assert str(error.value) == "gc is required: got nothing. Give group counts along the channels to try."
    with pytest.raises(InvalidSpec) as error:
        parse_spec({"recipe": "digits-mlp"})
    assert str(error.value) == (
        "gm and gc are required: got nothing. Give group counts along the mini-batch to try and group counts along the "
        "channels to try."
    )


@pytest.mark.parametrize("body", [[], None, "gm", 3, {1: 2}])
def test_a_body_that_is_not_an_object_with_names_is_refused(body):
    with pytest.raises(InvalidSpec) as error:
        parse_spec(body)
    assert str(error.value) == (
        f"a search must be an object with fields: got {body!r}. Give at least recipe, gm and gc."
    )


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("colour", ""),
        ("gcc", " Did you mean gc?"),
        ("Seed", " Did you mean seeds?"),
        ("epochs", " The number epochs of mnist-simplenet belongs under numbers."),
        ("lr", " The number learning_rate of mnist-simplenet belongs under numbers."),
    ],
)
def test_an_unknown_field_is_refused_with_the_known_ones_and_what_it_may_mean(field, hint):
    assert refused(**{field: 3}) == (
        f"{field} is not a field of a search: got 3. Known: {', '.join(SearchSpec.model_fields)}.{hint}"
    )


def test_a_field_that_is_missing_because_it_is_misspelt_is_refused_by_what_was_typed():
    with pytest.raises(InvalidSpec, match=r"^GM is not a field of a search: got \[1\]\. .* Did you mean gm\?$"):
        parse_spec({"recipe": "planted", "GM": [1], "gc": [1]})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gm": []}, "gm must hold at least one value: got []. Give group counts along the mini-batch to try."),
        (
            {"gm": [2, 1, 2]},
            "gm must not repeat a value: got [2, 1, 2]. Give group counts along the mini-batch to try.",
        ),
        ({"gc": []}, "gc must hold at least one value: got []. Give group counts along the channels to try."),
        ({"gc": [4, 4]}, "gc must not repeat a value: got [4, 4]. Give group counts along the channels to try."),
        ({"gm": "1,2"}, "gm must be a list: got '1,2'. Give a list, e.g. gm: [1, 2]"),
        ({"gm": 4}, "gm must be a list: got 4. Give a list, e.g. gm: [1, 2]"),
        ({"seeds": "3"}, "seeds must be a list: got '3'. Give a list, e.g. seeds: [0, 1], or a count"),
        ({"seeds": True}, "seeds must be a list: got True. Give a list, e.g. seeds: [0, 1], or a count"),
        ({"tags": "night"}, "tags must be a list: got 'night'. Give a list, e.g. tags: [night, short]"),
        ({"gm": [2.5]}, "gm must be a whole number: got 2.5. Give group counts along the mini-batch to try."),
        ({"gm": [True]}, "gm must be a whole number: got True. Give group counts along the mini-batch to try."),
        ({"gm": ["4"]}, "gm must be a whole number: got '4'. Give group counts along the mini-batch to try."),
        (
            {"gc": [-1]},
            "gc should be greater than or equal to 0: got -1. Give group counts along the channels to try.",
        ),
        (
            {"gm": [2**31]},
            "gm should be less than or equal to 2147483647: got 2147483648. "
            "Give group counts along the mini-batch to try.",
        ),
        ({"recipe": 3}, "recipe must be text: got 3. Give name of an installed recipe."),
        (
            {"strategy": "random"},
            f"strategy should be {either(STRATEGIES)}: got 'random'. Give one of them.",
        ),
        (
            {"gm_rule": "smallest"},
            f"gm_rule should be {either(RULES)}: got 'smallest'. Give one of them.",
        ),
        ({"name": 3}, "name must be text: got 3. Give a name for lists."),
        ({"data": 3}, "data must be text: got 3. Give data set, if the recipe takes a choice."),
    ],
)
def test_a_field_of_the_wrong_form_is_refused(changes, sentence):
    assert refused(**changes) == sentence


@pytest.mark.parametrize(
    ("seeds", "problem"),
    [
        (0, "seeds must be from 1 to 64, or a list of seeds: got 0."),
        (65, "seeds must be from 1 to 64, or a list of seeds: got 65."),
        ([], "seeds must hold at least one value: got []."),
        ([1, 1], "seeds must not repeat a value: got [1, 1]."),
        ([-1], "seeds should be greater than or equal to 0: got -1."),
        ([1.5], "seeds must be a whole number: got 1.5."),
    ],
)
def test_seeds_of_the_wrong_form_are_refused(seeds, problem):
    assert refused(seeds=seeds) == f"{problem} Give replicates of each point; a count n means 0 … n-1."


@pytest.mark.parametrize(
    ("count", "problem"),
    [
        (0, "should be greater than or equal to 1: got 0"),
        (65, "should be less than or equal to 64: got 65"),
        (True, "must be a whole number: got True"),
    ],
)
def test_a_number_of_test_seeds_out_of_range_is_refused(count, problem):
    assert (
        refused(test_seeds=count)
        == f"test_seeds {problem}. Give number of new seeds, from 1000, for the final measurement."
    )


@pytest.mark.parametrize("tolerance", [-0.1, "wide", "0.1", True, math.nan, math.inf, None])
def test_a_tolerance_that_is_neither_auto_nor_a_number_is_refused(tolerance):
    assert refused(tolerance=tolerance) == (
        f"tolerance must be auto, or a finite number of 0 or more: got {tolerance!r}. "
        "Give largest distance from the best mean that performs well; auto derives it from the spread of seeds."
    )


@pytest.mark.parametrize("control", ["\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x9b", "\ud800"])
def test_control_characters_in_a_name_are_refused(control):
    name = f"a{control}b"
    assert refused(name=name) == (
        f"name must hold no control characters or lone surrogates: got {name!r}. Give a name for lists."
    )


@pytest.mark.parametrize("control", ["\x00", "\x1b", "\x9b", "\ud800"])
def test_control_characters_in_a_note_are_refused(control):
    note = f"a\n{control}"
    assert refused(note=note) == (
        f"note must hold no control characters or lone surrogates: got {note!r}. Give free text."
    )


@pytest.mark.parametrize("word", ["a b", "", "-a", "a\n", "<b>", "a" * 65])
def test_a_tag_or_variant_that_is_not_one_plain_word_is_refused(word):
    rule = f"string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}$': got {word!r}."
    assert refused(tags=[word]) == f"tags {rule} Give words for filters."
    assert refused(variants={word: {}}) == f"variants {rule} Give named sets of overrides to compare inside the search."


@pytest.mark.parametrize("variants", [{"none": {}}, {"main": {}, "none": {"epochs": 3}}, {}])
def test_no_variant_may_be_named_none(variants):
    assert refused(variants=variants) == (
        "variants must name at least one variant, and none of them `none`, which trains without normalization: "
        f"got {variants}. Give named sets of overrides to compare inside the search."
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"gm": list(range(1, 300))},
        {"seeds": list(range(65))},
        {"numbers": {f"n{i}": 1 for i in range(65)}},
        {"numbers": {f"n{i}": None for i in range(65)}},
        {"variants": {"main": {f"n{i}": 1 for i in range(65)}}},
        {"name": "a" * 201},
        {"note": "a" * 10_001},
        {"tags": [f"t{i}" for i in range(33)]},
        {"variants": {f"v{i}": {} for i in range(65)}},
        {"vary": {f"n{i}": [1] for i in range(9)}},
        {"vary": {"epochs": [*range(65)]}},
        {"order": [f"n{i}" for i in range(12)]},
    ],
)
def test_what_is_too_long_is_refused_briefly(fields):
    (field,) = fields
    assert re.match(rf"{field} \w+ should have at most \d+ (items|characters)", refused(**fields))
    assert len(refused(**fields)) < 400


# Further axes and rounds

FURTHER = "Give further axes: numbers of the recipe, each with the values to try."


def test_values_of_further_axes_are_converted_as_the_recipe_types_them():
    given = SearchSpec(recipe="conv", gm=[1], gc=[1], vary={"learning_rate": ["0.1", 1], "augment": ["yes"]})
    assert convert_values(given, CONV).vary == {"learning_rate": [0.1, 1.0], "augment": [True]}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"vary": {"gm": [1]}},
            "vary must name numbers of the recipe, and none of them gm, gc, seed, variant, grid, test, point: "
            f"got {{'gm': [1]}}. {FURTHER}",
        ),
        ({"vary": {"epochs": []}}, f"vary must give epochs at least one value: got {{'epochs': []}}. {FURTHER}"),
        ({"vary": {"epochs": 3}}, "vary must be a list: got 3. Give a list, e.g. vary: {learning_rate: [0.1, 0.2]}"),
        (
            {"vary": {"epochs": [None]}},
            f"vary must give each name a list of finite numbers, true, false or text: got None. {FURTHER}",
        ),
        (
            {"vary": {"epochs": [1]}, "numbers": {"epochs": 3}},
            "vary must not name epochs, which numbers fixes: list its values here alone: "
            f"got {{'epochs': [1]}}. {FURTHER}",
        ),
        (
            {"vary": {"epochs": [1]}, "variants": {"long": {"epochs": 3}}},
            "vary must not name epochs, which the variant long fixes: list its values here alone: "
            f"got {{'epochs': [1]}}. {FURTHER}",
        ),
        (
            {"vary": {"epochs": ["1,2"]}},
            f"vary must give epochs values that are not empty and hold no comma: got {{'epochs': ['1,2']}}. {FURTHER}",
        ),
        (
            {"vary": {"lr": [1]}},
            "mnist-simplenet has no number lr: got lr=1. Use learning_rate; "
            "seqnorm recipes mnist-simplenet lists them all.",
        ),
        (
            {"vary": {"learning_rate": [0.1, "1e-1"]}},
            "an axis must not repeat a value: got learning_rate=0.1, 1e-1. Leave out what is repeated.",
        ),
        (
            {"vary": {"epochs": ["many"]}},
            "epochs must be a whole number (passes over the training split): got 'many'. The default is 30.",
        ),
        (
            {"vary_rule": "largest-stable"},
            "vary_rule must be a rule for every axis: of numbers other than gm and gc, none is the larger one: "
            "got 'largest-stable'. Give the rule by which the stage of a further axis chooses.",
        ),
        (
            {"vary": {"epochs": [1]}, "rounds": 1, "check_rule": "largest-stable"},
            "check_rule must be a rule for every axis: of numbers other than gm and gc, none is the larger one: "
            "got 'largest-stable'. Give the rule of checks, together with rounds; "
            "null for the rules of the first pass.",
        ),
        (
            {"check_rule": "best-mean"},
            "check_rule needs rounds, which it is for: got 'best-mean'. "
            "Give the rule of checks, together with rounds; null for the rules of the first pass.",
        ),
        (
            {"order": ["gc", "epochs"], "vary": {"epochs": [1]}},
            "order must name every axis once: gm, gc, epochs: got ['gc', 'epochs']. "
            "Give the axes in the order of their stages; empty for gm, gc and the others.",
        ),
        (
            {"order": ["gm", "gc"], "variants": {"a": {}, "b": {}}},
            "order must name every axis once: gm, gc, variant: got ['gm', 'gc']. "
            "Give the axes in the order of their stages; empty for gm, gc and the others.",
        ),
        (
            {"baselines": ["none", "none"]},
            "baselines must not repeat a value: got ['none', 'none']. "
            "Give what stage test compares with: batchnorm, none (no norm).",
        ),
    ],
)
def test_axes_that_cannot_be_tuned_are_refused(changes, sentence):
    assert refused(**changes) == sentence


def test_a_grid_of_too_many_points_is_refused():
    wide = {"strategy": "grid", "gm": [*range(1, 201)], "gc": [*range(200)], "vary": {"epochs": [1, 2, 3]}}
    assert refused(**wide) == (
        f"vary must leave a grid at most 100,000 points, not 120,000: got {{'epochs': [1, 2, 3]}}. {FURTHER}"
    )


@pytest.mark.parametrize("rounds", ["twice", 6, -1, None, 1.5, 1.0, "1", True])
def test_rounds_are_a_small_number_or_go_on_until_nothing_changes(rounds):
    assert refused(rounds=rounds).startswith(
        f"rounds must be until-settled, or a whole number from 0 to 5: got {rounds!r}. Give the number of checks after"
    )


def test_a_grid_has_no_rounds():
    assert refused(strategy="grid", rounds=1).startswith(
        "rounds must be 0 in a grid, which tries every combination of values: got 1. Give the number of checks after"
    )


# Baselines


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"baselines": ["batch-norm"]},
            "baselines should be 'batchnorm' or 'none': got 'batch-norm'. Give one of them.",
        ),
        (
            {"variants": {"main": {}, "noisy": {"noise": 0.1}}, "baseline_variant": "noise"},
            "baseline_variant must name a variant of the search: got noise. Known: main, noisy. Did you mean noisy?",
        ),
    ],
)
def test_baselines_that_there_are_not_are_refused(changes, sentence):
    assert refused(**changes) == sentence


def test_a_command_is_not_trained_without_its_layers():
    fields = {"recipe": "train.sh", "gm": [1], "gc": [1]}
    command = Command(words=("/bin/sh", "train.sh"), folder="/")
    assert parse_spec({**fields, "baselines": ["batchnorm"]}, command=command).baselines == ["batchnorm"]
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({**fields, "baselines": ["none"]}, command=command)
    assert str(caught.value) == (
        "a command has its own layers, so it has no baseline without them: got none. Give batchnorm."
    )


def test_baselines_of_stored_searches_keep_the_numbers_that_they_had():
    noisy = {**FIELDS, "variants": {"noisy": {"noise": 0.1}, "plain": {}}}
    assert read_stored(noisy).own_variant == "noisy"
    assert read_stored({**noisy, "baseline_variant": ""}).own_variant == "plain"
    assert read_stored(FIELDS) == SearchSpec(**FIELDS)


# Numbers of stage test


def test_stage_test_trains_with_its_own_numbers_typed_as_the_recipes():
    given = spec(numbers={"epochs": 2}, test_numbers={"epochs": "20"})
    assert given.test_numbers == {"epochs": 20}
    recipe = find(FIELDS["recipe"])
    for variant in ("main", "none"):
        resolved = [given.resolve_numbers(recipe, variant, measure).epochs for measure in ("validation", "test")]
        assert resolved == [2, 20]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"test_numbers": {"epoch": 3}},
            "mnist-simplenet has no number epoch: got epoch=3. Use epochs; "
            "seqnorm recipes mnist-simplenet lists them all.",
        ),
        (
            {"test_numbers": {"subset": 100}},
            "a search reads its data once, for all stages: got subset=100 for stage test. "
            "Give it for the whole search.",
        ),
        (
            {"test_numbers": {"epochs": 9}, "variants": {"main": {}, "long": {"epochs": 5}}},
            "stage test must keep what the search compares: got epochs=9. Leave it out of test_numbers.",
        ),
        (
            {"test_numbers": {"batch": 500}},
            "gm must divide the batch: got gm=8 for 500 samples. Use a divisor, e.g. 4, 5, 10.",
        ),
    ],
)
def test_numbers_that_stage_test_cannot_have_are_refused(changes, sentence):
    assert refused(**{"gm": [8], **changes}) == sentence


def test_a_number_of_stage_test_that_a_command_does_not_take_is_refused():
    numbers = (CommandNumber(name="epochs", default=3), CommandNumber(name="lr", default=0.1))
    command = Command(words=("/bin/sh", "train.sh", "{lr}"), folder="/", numbers=numbers)
    fields = {"recipe": "train.sh", "gm": [1], "gc": [1]}
    assert parse_spec({**fields, "test_numbers": {"lr": 1}}, command=command).test_numbers == {"lr": 1.0}
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({**fields, "test_numbers": {"epochs": 9}}, command=command)
    assert str(caught.value) == (
        "a number of stage test must stand in the command as {epochs}: got epochs=9, which nothing uses. "
        "Write it there."
    )


# Refused by the recipe


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    sentence = refused(recipe="mnist-simplnet")
    assert sentence.startswith("no recipe is named 'mnist-simplnet'. Known: cifar10-resnet56, ")
    assert sentence.endswith(". Did you mean mnist-simplenet?")


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        (
            {"epoch": 3},
            "mnist-simplenet has no number epoch: got epoch=3. "
            "Use epochs; seqnorm recipes mnist-simplenet lists them all.",
        ),
        (
            {"epochs": "many"},
            "epochs must be a whole number (passes over the training split): got 'many'. The default is 30.",
        ),
        (
            {"epochs": 2.5},
            "epochs must be a whole number (passes over the training split): got 2.5. The default is 30.",
        ),
        (
            {"epochs": True},
            "epochs must be a whole number (passes over the training split): got True. The default is 30.",
        ),
        ({"epochs": 0}, "epochs must be at least 1 (passes over the training split): got 0. The default is 30."),
        (
            {"batch": 10**12},
            "batch must be at most 1048576 (samples per step): got 1000000000000. The default is 512.",
        ),
        (
            {"batch": "٥١٢"},  # 512, in digits that int() reads too
            "batch must be a whole number (samples per step): got '٥١٢'. The default is 512.",
        ),
        (
            {"learning_rate": "nan"},
            "learning_rate must be a number (constant, per step of plain SGD, for the whole batch): got 'nan'. "
            "The default is 0.4.",
        ),
        (
            {"learning_rate": 10**400},
            "learning_rate must be a number (constant, per step of plain SGD, for the whole batch): "
            f"got {10**400}. The default is 0.4.",
        ),
        (
            {"learning_rate": -0.1},
            "learning_rate must be at least 0 (constant, per step of plain SGD, for the whole batch): got -0.1. "
            "The default is 0.4.",
        ),
        (
            {"min_group": 1},
            "min_group must be at least 2 (smallest group of samples allowed (paper section 3)): got 1. "
            "The default is 4.",
        ),
    ],
)
def test_a_bad_override_is_refused_wherever_it_stands(numbers, sentence):
    assert refused(numbers=numbers) == sentence
    assert refused(variants={"main": {}, "other": numbers}) == sentence


@pytest.mark.parametrize("value", [math.nan, math.inf, None, [3]])
def test_an_override_that_is_no_number_at_all_is_refused(value):
    assert refused(numbers={"learning_rate": value}) == (
        f"numbers must give each name a finite number, true, false or text: got {value}. "
        "Give overrides of the recipe's numbers."
    )


def test_true_or_false_is_asked_for_in_those_words():
    with pytest.raises(ValueError) as error:
        CONV.with_overrides({"augment": 1})
    assert str(error.value) == (
        "augment must be a true or false (whether images are augmented): got 1. The default is False."
    )


def test_data_for_a_recipe_that_takes_none_is_refused():
    assert refused(recipe="digits-mlp", data="own.npz") == (
        "digits-mlp takes no data set: got own.npz. Leave out --data."
    )


def test_a_data_set_that_is_missing_is_refused():
    assert refused(data="/nowhere/own.npz") == (
        "--data must name an existing .npz file: got /nowhere/own.npz. "
        "Give one with x uint8 [N,H,W] or [N,H,W,C] and y integers [N], e.g. numpy.savez(file, x=x, y=y)."
    )


def test_a_data_set_that_is_no_npz_is_refused(tmp_path):
    file = tmp_path / "own.npz"
    file.write_text("not a zip")
    assert refused(data=str(file)).startswith(f"--data must be an .npz file without pickles: got {file} (")


# Refused by the rules of grouping


@pytest.mark.parametrize(
    ("gm", "sentence"),
    [
        (3, "gm must divide the batch: got gm=3 for 512 samples. Use a divisor, e.g. 1, 2, 4."),
        (100, "gm must divide the batch: got gm=100 for 512 samples. Use a divisor, e.g. 32, 64, 128."),
        (1024, "gm must divide the batch: got gm=1024 for 512 samples. Use a divisor, e.g. 128, 256, 512."),
        (
            256,
            "groups must hold at least min_group=4 samples: got gm=256, groups of 2 of 512 samples. "
            "Use gm up to 128, or allow it with --set min_group=2.",
        ),
        (
            512,
            "groups must hold at least min_group=4 samples: got gm=512, groups of 1 of 512 samples. Use gm up to 128.",
        ),
    ],
)
def test_a_gm_that_cannot_group_the_batch_is_refused(gm, sentence):
    assert refused(gm=[1, gm]) == sentence


def test_groups_of_two_are_trained_where_min_group_allows_them():
    assert spec(gm=[128]).gm == [128]  # groups of 4
    assert spec(gm=[256], numbers={"min_group": 2}).gm == [256]


def test_groups_of_one_are_refused_even_where_min_group_is_smallest():
    assert refused(gm=[512], numbers={"min_group": 2}) == (
        "groups must hold at least min_group=2 samples: got gm=512, groups of 1 of 512 samples. Use gm up to 256."
    )


def test_a_batch_smaller_than_a_group_must_grow():
    assert refused(gm=[1], numbers={"batch": 3}) == (
        "groups must hold at least min_group=4 samples: got gm=1, groups of 3 of 3 samples. "
        "Use a larger batch (--set batch=…), or allow it with --set min_group=3."
    )


def test_a_variants_own_batch_decides_what_it_can_group():
    assert refused(gm=[8], variants={"main": {}, "small": {"batch": 16}}) == (
        "groups must hold at least min_group=4 samples: got gm=8, groups of 2 of 16 samples. "
        "Use gm up to 4, or allow it with --set min_group=2."
    )


@pytest.mark.parametrize("gc", [3, 5, 8, 300, 512])
def test_a_gc_that_does_not_divide_512_and_300_is_refused(gc):
    assert refused(gc=[1, gc]) == (
        f"gc must divide every normalized width into groups of 2 or more: got gc={gc} for widths 512, 300. Use 1, 2, 4."
    )


def test_a_gc_of_groups_of_one_channel_is_refused_where_layers_have_no_positions():
    assert refused(recipe="digits-mlp", gc=[128]) == (
        "gc must divide every normalized width into groups of 2 or more: got gc=128 for widths 128. "
        "Use 1, 2, 4, 8, 16, 32, 64."
    )


def test_a_gc_of_0_is_for_grids():
    assert spec(strategy="grid", gc=[0, 4]).gc == [0, 4]
    assert refused(gc=[0, 4]) == (
        "gc of a sequential search starts at 1: got gc=0. Leave it out: stage gm trains gc=0, and stage gc shows "
        "its winner as the reference."
    )
    assert refused(gc=[0, 4], order=["gc", "gm"]) == (
        "gc of a sequential search starts at 1: got gc=0. Leave it out: stage test measures BatchNorm beside "
        "the choice."
    )


def test_refused_values_are_all_listed_once():
    bad = SearchSpec(**{**FIELDS, "gm": [1, 3, 256], "gc": [1, 7], "variants": {"main": {}, "long": {"epochs": 99}}})
    assert [value for value, _ in find_refused_values(bad, find("mnist-simplenet"))] == ["gm=3", "gm=256", "gc=7"]


def test_a_search_is_refused_for_the_first_of_its_refused_values():
    with pytest.raises(InvalidSpec, match=r"^gm must divide the batch: got gm=3 "):
        parse_spec({**FIELDS, "gm": [3], "gc": [7]})


# Devices: the paper counts gm per device


@pytest.mark.parametrize("gm", [1, 2, 4, 8, 16])
def test_gm_divides_the_64_samples_of_each_of_8_devices(gm):
    assert gm_error(gm, ConvNumbers()) is None


def test_gm_is_counted_per_device():
    assert gm_error(3, ConvNumbers()) == (
        "gm must divide the batch: got gm=3 for 64 samples per device (batch 512 / 8). Use a divisor, e.g. 1, 2, 4."
    )
    assert gm_error(32, ConvNumbers()) == (
        "groups must hold at least min_group=4 samples: got gm=32, groups of 2 of 64 samples per device "
        "(batch 512 / 8). Use gm up to 16, or allow it with --set min_group=2."
    )
    assert gm_error(32, ConvNumbers(min_group=2)) is None
    assert gm_error(64, ConvNumbers(min_group=2)) == (
        "groups must hold at least min_group=2 samples: got gm=64, groups of 1 of 64 samples per device "
        "(batch 512 / 8). Use gm up to 32."
    )


def test_a_batch_divides_over_the_devices():
    assert gm_error(1, ConvNumbers(batch=500)) == (
        "the batch must divide over devices: got batch=500 over 8. Choose a multiple (--set batch=…)."
    )


def test_gc_may_equal_a_width_where_layers_have_positions():
    assert [gc for gc in range(1, 129) if gc_error(gc, ConvNumbers(), CONV, "grid") is None] == [1, 2, 4, 8, 16, 32]
    assert gc_error(64, ConvNumbers(), CONV, "sequential") == (
        "gc must divide every normalized width: got gc=64 for widths 64, 96. Use 1, 2, 4, 8, 16, 32."
    )


def test_gc_is_left_to_the_driver_where_only_torch_knows_the_widths():
    unknown = Recipe(
        name="any", title="", numbers=ConvNumbers, run="any:run", load="any:load", widths=lambda numbers: None
    )
    assert gc_error(7, ConvNumbers(), unknown, "sequential") is None


def test_an_unknown_field_is_said_though_the_file_of_the_recipe_is_wrong(tmp_path):
    find_file(tmp_path, "mine").parent.mkdir(mode=0o755)
    find_file(tmp_path, "mine").write_text("batch = 64")
    with pytest.raises(InvalidSpec, match=r"^lr is not a field of a search: got 1"):
        parse_spec({"recipe": "mine", "gm": [1], "gc": [1], "lr": 1}, tmp_path)
    with pytest.raises(InvalidSpec, match=r"mine\.toml: command is required"):
        parse_spec({"recipe": "mine", "gm": [1], "gc": [1]}, tmp_path)
