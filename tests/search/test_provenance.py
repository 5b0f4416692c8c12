"""What a search is submitted with."""

from __future__ import annotations

import platform
from importlib.metadata import version

from search.provenance import provenance_of, resolved_numbers
from search.spec import parse_spec
from tests.search.engine import PLANTED
from trainers.recipe import find


def test_versions_are_those_of_here_and_of_the_distribution_that_brings_the_recipe() -> None:
    found = provenance_of("planted")
    assert (found.seqnorm, found.torch) == (version("seqnorm"), version("torch"))
    assert found.python == platform.python_version()
    assert (found.package, found.package_version) == ("planted", "0.1")
    assert provenance_of("digits-mlp").package == "seqnorm"


def test_a_recipe_that_is_not_installed_has_no_package() -> None:
    assert (provenance_of("nosuch").package, provenance_of("nosuch").package_version) == (None, None)


def test_numbers_are_resolved_for_each_variant_and_for_training_without_normalization() -> None:
    fields = {**PLANTED, "numbers": {"epochs": 3}, "variants": {"main": {}, "slow": {"seconds": 2}}}
    numbers = resolved_numbers(parse_spec(fields), find("planted"))
    assert set(numbers) == {"main", "slow", "none"}
    assert {variant: (of["epochs"], of["seconds"]) for variant, of in numbers.items()} == {
        "main": (3, 0.0),
        "slow": (3, 2.0),
        "none": (3, 0.0),
    }
