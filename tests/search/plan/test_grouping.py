"""Refused group counts: each is listed once, and none is computed twice."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from search.plan import spec as module
from search.plan.grouping import GroupCheck, gm_check
from search.plan.spec import SearchSpec, find_refused_values
from trainers.groups import divisors
from trainers.recipe import find

DIGITS = find("digits-mlp")


def spec(**changes: object) -> SearchSpec:
    return SearchSpec(**{"recipe": "digits-mlp", "gm": [4], "gc": [2], **changes})  # type: ignore[arg-type]


def test_variants_with_the_same_numbers_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[object] = []

    def make(numbers: object, gcs: Collection[int]) -> GroupCheck:
        checked.append(numbers)
        return gm_check(numbers, gcs)

    monkeypatch.setattr(module, "gm_check", make)
    find_refused_values(spec(gm=[3, 5], variants={f"v{i}": {} for i in range(64)}), DIGITS)
    assert len(checked) == 1


def test_a_value_that_one_variant_refuses_is_listed_with_its_reason_alone() -> None:
    refused = find_refused_values(spec(gm=[3], variants={f"v{i}": {"batch": 128 + 4 * i} for i in range(9)}), DIGITS)
    assert refused == [("gm=3", "gm must divide the batch: got gm=3 for 128 samples. Use a divisor, e.g. 1, 2, 4.")]


def test_a_value_that_only_the_last_variant_refuses_is_listed() -> None:
    refused = find_refused_values(spec(gm=[2, 7], variants={"a": {"batch": 140}, "b": {"batch": 128}}), DIGITS)
    assert [value for value, _ in refused] == ["gm=7"]


def test_as_many_values_are_listed_as_were_given_however_many_variants_refuse_them() -> None:
    variants = {f"v{i}": {"batch": 1024 + i, "width": 101 + i} for i in range(64)}
    assert len(find_refused_values(spec(gm=[*range(1, 257)], gc=[*range(1, 257)], variants=variants), DIGITS)) < 513


NEEDS_GC = (
    "gm=0 is GroupNorm alone, which needs groups of channels: got gm=0 where gc is 0. "
    "Give gc from 1; a search tries both together as a grid."
)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"strategy": "grid", "gc": [0, 2]}, []),
        ({"strategy": "grid", "gc": [0]}, [NEEDS_GC]),
        ({"strategy": "sequential"}, [NEEDS_GC]),
        (
            {"strategy": "grid", "numbers": {"noise": 0.1}},
            ["GroupNorm alone is trained without noise: got gm=0 and noise=0.1. Leave one of them out."],
        ),
    ],
)
def test_gm_0_is_accepted_where_it_meets_groups_of_channels(changes: dict[str, object], reasons: list[str]) -> None:
    assert [reason for _, reason in find_refused_values(spec(gm=[0, 4], **changes), DIGITS)] == reasons


def test_the_divisors_of_a_number_are_found_once() -> None:
    prime = 2**31 - 1
    assert divisors(prime) == (1, prime)
    assert divisors(prime) is divisors(prime)
    assert divisors(12) == (1, 2, 3, 4, 6, 12)


def test_widths_beyond_a_dozen_are_not_spelt_out() -> None:
    many = find("images").__class__(
        name="many", title="", numbers=DIGITS.numbers, run="", load="", widths=lambda _: tuple(range(12, 1200, 12))
    )
    ((_, reason),) = find_refused_values(spec(gc=[5]), many)
    assert reason == (
        "gc must divide every normalized width: got gc=5 for widths 12, 24, 36, 48, 60, 72, 84, 96, 108, 120, 132, "
        "144, …. Use 1, 2, 3, 4, 6, 12."
    )
