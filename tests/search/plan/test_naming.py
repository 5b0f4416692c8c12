"""Names of values beside gm and gc."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.plan.naming import (
    folder_name,
    join_name,
    list_columns,
    read_column,
    replace_value,
    sort_key,
    split_name,
    write_value,
)

NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters=",", exclude_categories=("C",)), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (256.0, "256"), (1e-05, "1e-05"), (8, "8"), (True, "true"), ("sgd", "sgd")]
)
def test_a_value_is_written_briefly(value, text) -> None:
    assert write_value(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_read_back_to_the_bit(value: float) -> None:
    assert float(write_value(value)).hex() == value.hex()


@given(st.sampled_from(["main", "strong"]), st.dictionaries(NAMES, TEXTS, max_size=4))
def test_a_name_says_all_of_its_values_in_order(overrides: str, values: dict[str, str]) -> None:
    found, read = split_name(join_name(overrides, values))
    assert (found, [*read.items()]) == (overrides, [*values.items()])


def test_a_point_without_further_values_is_main() -> None:
    assert join_name("main", {}) == "main"
    assert join_name("main", {"lr": "0.1"}) == "lr=0.1"
    assert join_name("strong", {"lr": "0.1", "sigma": "0.2"}) == "strong, lr=0.1, sigma=0.2"


def test_one_value_is_replaced_in_its_place() -> None:
    assert replace_value("strong, lr=0.1, sigma=0.2", "lr", 1.0) == "strong, lr=1, sigma=0.2"
    assert replace_value("strong, lr=0.1", "variant", "main") == "lr=0.1"
    assert replace_value("lr=0.1", "variant", "strong") == "strong, lr=0.1"


@given(st.lists(TEXTS, min_size=2, max_size=2, unique=True))
def test_folders_have_safe_names_and_no_two_variants_share_one(texts: list[str]) -> None:
    names = {folder_name(f"optimizer={text}") for text in texts}
    assert len(names) == 2
    assert all(name.isascii() and "/" not in name and len(name) <= 100 for name in names)


def test_a_plain_name_stays_as_it_is_in_a_folder() -> None:
    assert folder_name("strong") == "strong"
    assert folder_name("lr=0.1, sigma=1e-05") == "lr=0.1,sigma=1e-05"


def test_columns_are_the_axes_that_tell_variants_apart() -> None:
    assert list_columns(["main", "none"]) == []
    assert list_columns(["lr=0.1", "none", "lr=0.2, sigma=1"]) == ["lr", "sigma"]
    assert list_columns(["main", "strong, lr=0.1"]) == ["variant", "lr"]
    row = [read_column("strong, lr=0.1", column) for column in ("variant", "lr", "sigma")]
    assert row == ["strong", "0.1", ""]


def test_variants_are_sorted_by_the_size_of_their_values() -> None:
    ordered = ["lr=1e-05", "lr=0.5", "lr=2", "lr=10", "lr=adam"]
    assert sorted(["lr=2", "lr=adam", "lr=10", "lr=1e-05", "lr=0.5"], key=sort_key) == ordered
