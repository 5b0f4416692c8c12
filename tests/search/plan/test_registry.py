"""Fields that take a registered name."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, ValidationError

from search.plan.registry import OneOf

NAMES = {"first": 1, "second": 2}


class Model(BaseModel):
    """Has such a field."""

    name: Annotated[str, OneOf(NAMES)] = "first"


def test_a_registered_name_is_taken() -> None:
    assert Model(name="second").name == "second"


def test_another_is_refused_with_the_registered_ones() -> None:
    with pytest.raises(ValidationError, match="Input should be 'first' or 'second'"):
        Model(name="third")


def test_a_schema_lists_the_names() -> None:
    assert Model.model_json_schema()["properties"]["name"]["enum"] == [*NAMES]
