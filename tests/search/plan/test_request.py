"""What is wrong with a request is reported briefly, however much it is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from search.plan.request import RequestModel
from search.plan.spec import SearchSpec

FIELDS = {"recipe": "digits-mlp", "gm": [4], "gc": [2]}


class Body(RequestModel):
    """A body with a field."""

    name: str = ""


def problems(**fields: object) -> list[tuple[str, tuple[int | str, ...]]]:
    with pytest.raises(ValidationError) as caught:
        SearchSpec(**{**FIELDS, **fields})  # type: ignore[arg-type]
    return [(error["type"], error["loc"]) for error in caught.value.errors()]


def test_only_the_first_of_many_unknown_fields_is_reported() -> None:
    with pytest.raises(ValidationError) as caught:
        Body(**{"name": "a", "first": 1, **{f"more{i}": 1 for i in range(1000)}})
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("extra_forbidden", ("first",))]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"numbers": {f"n{i}": [] for i in range(1000)}}, ("numbers",)),
        ({"variants": {f"v{i}": [] for i in range(1000)}}, ("variants",)),
        ({"variants": {"main": {f"n{i}": [] for i in range(1000)}}}, ("variants", "main")),
    ],
)
def test_a_mapping_with_too_many_entries_is_refused_before_they_are_read(
    fields: dict[str, object], place: tuple[str, ...]
) -> None:
    assert problems(**fields) == [("too_long", place)]
