"""What a spec may say about devices, passes, and numbers without normalization."""

from dataclasses import dataclass

import pytest

from search.plan import spec as module
from search.plan.grouping import gm_error
from search.plan.spec import SearchSpec, parse_spec
from search.vocabulary.errors import InvalidSpec
from trainers.descriptors.cifar import WideResNetNumbers
from trainers.descriptors.digits_mlp import DigitsNumbers
from trainers.recipe import Numbers, Recipe, number

FIELDS = {"recipe": "digits-mlp", "gm": [4, 8], "gc": [1, 2]}


def said(**changes):
    """Return what a spec is refused with."""
    with pytest.raises(InvalidSpec) as error:
        parse_spec({**FIELDS, **changes})
    return str(error.value)


# GPUs


def test_a_trial_on_cuda_without_gpus_is_refused():
    assert said(numbers={"device": "cuda"}) == ("device=cuda needs GPUs: got gpus=0 for a trial. Give --gpus 1.")
    assert said(numbers={"device": "cuda", "real_devices": 4}) == (
        "device=cuda needs GPUs: got gpus=0 for a trial. Give --gpus 4."
    )


@pytest.mark.parametrize("gpus", [0.5, 1, 3])
def test_a_trial_on_cuda_with_gpus_is_taken_even_with_a_share_of_one(gpus):
    spec = parse_spec({**FIELDS, "gpus": gpus, "numbers": {"device": "cuda"}})
    assert spec.gpus == gpus


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("gpus", [1, 1.5, 3.5])
def test_fewer_gpus_than_devices_are_refused(device, gpus):
    assert said(gpus=gpus, numbers={"device": device, "real_devices": 4}) == (
        f"a trial needs a GPU for each of its devices: got real_devices=4 and gpus={gpus:g}. "
        "Give --gpus 4, or --set device=cpu."
    )


@pytest.mark.parametrize(
    ("gpus", "numbers"),
    [
        (4, {"device": "cuda", "real_devices": 4}),
        (4, {"real_devices": 4}),
        (0, {"real_devices": 4}),  # auto, which takes CPUs where there are no GPUs
        (0, {"device": "cpu", "real_devices": 4}),
        (1, {"device": "cpu", "real_devices": 4}),
        (0.5, {"real_devices": 1}),
    ],
)
def test_as_many_gpus_as_devices_or_processes_on_cpus_are_taken(gpus, numbers):
    assert parse_spec({**FIELDS, "gpus": gpus, "numbers": numbers}).gpus == gpus


def test_every_variant_is_checked_for_its_own_devices():
    variants = {"main": {"device": "cpu"}, "fast": {"device": "cuda"}}
    assert said(variants=variants) == "device=cuda needs GPUs: got gpus=0 for a trial. Give --gpus 1."


# Batches and groups over devices and passes


@pytest.mark.parametrize(
    ("numbers", "over"),
    [
        ({"real_devices": 3}, "3 × 1"),
        ({"accumulate": 3}, "1 × 3"),
        ({"real_devices": 2, "accumulate": 3}, "2 × 3"),
        ({"real_devices": 256}, "256 × 1"),
    ],
)
def test_a_batch_that_devices_and_passes_cannot_share_is_refused(numbers, over):
    assert said(numbers=numbers) == (
        f"the batch must divide over real_devices × accumulate: got batch=128 over {over}. "
        "Choose a multiple (--set batch=…)."
    )


def test_groups_that_devices_and_passes_cannot_share_are_refused():
    assert said(gm=[1, 4, 8], numbers={"real_devices": 2}) == (
        "gm × devices must divide over real_devices × accumulate: got 1 × 1 over 2 × 1. "
        "Use gm up from 2, or fewer real_devices or passes."
    )
    assert said(gm=[2, 4, 8], numbers={"real_devices": 2, "accumulate": 2}) == (
        "gm × devices must divide over real_devices × accumulate: got 2 × 1 over 2 × 2. "
        "Use gm up from 4, or fewer real_devices or passes."
    )


@pytest.mark.parametrize(
    ("gm", "numbers"),
    [(1, {}), (2, {"accumulate": 2}), (4, {"real_devices": 2, "accumulate": 2}), (8, {"real_devices": 4})],
)
def test_groups_that_devices_and_passes_can_share_are_taken(gm, numbers):
    assert gm_error(gm, DigitsNumbers(**numbers)) is None


@pytest.mark.parametrize(
    ("gm", "real_devices", "taken"), [(1, 1, True), (1, 4, True), (1, 8, True), (1, 16, False), (2, 16, True)]
)
def test_the_papers_devices_multiply_gm_before_it_is_shared_out(gm, real_devices, taken):
    why = gm_error(gm, WideResNetNumbers(real_devices=real_devices))
    assert (why is None) == taken
    assert taken or why.startswith(
        "gm × devices must divide over real_devices × accumulate: got 1 × 8 over 16 × 1. Use gm up from "
    )


def test_what_is_advised_for_groups_that_cannot_be_shared_is_the_least_that_is_taken():
    numbers = WideResNetNumbers(real_devices=16)
    least = next(gm for gm in range(1, 65) if gm_error(gm, numbers) is None)
    assert f"Use gm up from {least}," in gm_error(1, numbers)


@dataclass(frozen=True, kw_only=True)
class Bare(Numbers):
    """Numbers of somebody's own recipe that knows no devices."""

    batch: int = number(64, "samples per step", 1)


def test_a_recipe_without_numbers_for_devices_is_taken(monkeypatch):
    bare = Recipe(name="bare", title="", numbers=Bare, run="", load="", widths=lambda numbers: None)
    monkeypatch.setattr(module, "find_recipe", lambda *_: bare)
    assert parse_spec({"recipe": "bare", "gm": [4], "gc": [1]}).gm == [4]
    assert gm_error(4, Bare()) is None


# Numbers without normalization


RESNET = Recipe(
    name="resnet",
    title="",
    numbers=WideResNetNumbers,
    run="",
    load="",
    widths=lambda numbers: None,
    unnormalized={"learning_rate": 0.01, "momentum": 0.5},
)


def numbers_of(variant, **fields):
    spec = SearchSpec(**{**FIELDS, "recipe": "resnet", **fields})
    numbers = spec.resolve_numbers(RESNET, variant)
    return numbers.learning_rate, numbers.momentum, numbers.epochs


def test_a_recipes_numbers_without_normalization_reach_the_variant_none_alone():
    assert numbers_of("none") == (0.01, 0.5, 200)
    assert numbers_of("main") == (0.1, 0.9, 200)


def test_a_searchs_own_numbers_win_over_those_without_normalization():
    asked = {"numbers": {"learning_rate": 0.3, "epochs": 7}}
    assert numbers_of("none", **asked) == (0.3, 0.5, 7)
    assert numbers_of("main", **asked) == (0.3, 0.9, 7)


def test_a_variants_numbers_win_over_all_others_and_none_has_those_of_the_baselines():
    asked = {
        "numbers": {"learning_rate": 0.3, "epochs": 7},
        "variants": {"first": {"learning_rate": 0.7}, "second": {"momentum": 0.1, "epochs": 9}},
    }
    assert numbers_of("none", **asked) == (0.3, 0.5, 7)
    assert numbers_of("none", **asked, baseline_variant="first") == (0.7, 0.5, 7)
    assert numbers_of("second", **asked) == (0.3, 0.1, 9)


def test_overrides_hold_only_what_was_changed():
    spec = SearchSpec(**FIELDS, numbers={"epochs": 3})
    assert spec.resolve_overrides(RESNET, "none") == {"learning_rate": 0.01, "momentum": 0.5, "epochs": 3}
    assert spec.resolve_overrides(RESNET, "main") == {"epochs": 3}
