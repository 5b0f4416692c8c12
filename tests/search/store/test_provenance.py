"""What a search is submitted with."""

from __future__ import annotations

import platform
from importlib.metadata import version

from search.plan.spec import parse_spec
from search.store.provenance import collect_provenance, resolve_all_numbers
from trainers.recipe import find


def test_versions_of_the_program_and_of_the_package_with_the_recipe_are_known() -> None:
    found = collect_provenance("digits-mlp")
    assert (found.seqnorm, found.package, found.package_version) == (version("seqnorm"), "seqnorm", version("seqnorm"))
    assert (found.python, found.torch) == (platform.python_version(), version("torch"))


def test_a_recipe_that_is_not_there_has_no_package() -> None:
    found = collect_provenance("nosuch")
    assert (found.package, found.package_version) == (None, None)


def test_numbers_are_those_that_each_variant_trains_with() -> None:
    variants = {"main": {}, "long": {"epochs": 7}}
    spec = parse_spec({"recipe": "planted", "gm": [1], "gc": [1], "numbers": {"noise": 0.5}, "variants": variants})
    numbers = resolve_all_numbers(spec, find("planted"))
    assert {name: (each["epochs"], each["noise"]) for name, each in numbers.items()} == {
        "main": (1, 0.5),
        "long": (7, 0.5),
        "none": (1, 0.5),
    }


def test_numbers_of_baselines_that_are_none_of_the_variants_are_there_too() -> None:
    variants = {"noisy": {"noise": 0.1}, "noisier": {"noise": 0.2}}
    spec = parse_spec({"recipe": "planted", "gm": [1], "gc": [1], "variants": variants})
    numbers = resolve_all_numbers(spec, find("planted"))
    assert {name: each["noise"] for name, each in numbers.items()} == {
        "noisy": 0.1,
        "noisier": 0.2,
        "main": 0.002,
        "none": 0.002,
    }
