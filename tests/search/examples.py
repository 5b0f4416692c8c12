"""Views to answer with, made of their fields' types."""

from __future__ import annotations

from enum import StrEnum
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search.plan.registry import OneOf
from search.plan.selection import Point
from search.plan.spec import SearchSpec

Kind = TypeVar("Kind", bound=BaseModel)


def example(kind: type[Kind], **fields: Any) -> Kind:
    """Return a view with some fields given and the others as plain as their types allow."""
    if kind is SearchSpec:
        fields = {"recipe": "planted", "gm": [1], "gc": [1], **fields}
    made = {name: value_of_field(field) for name, field in kind.model_fields.items() if field.is_required()}
    return kind(**made | fields)


def value_of_field(field: FieldInfo) -> Any:
    """Return the plainest value of a field: of registered names the first."""
    names = [each.names for each in field.metadata if isinstance(each, OneOf)]
    return next(iter(names[0])) if names else value_of(field.annotation)


def value_of(annotation: Any) -> Any:
    """Return the plainest value of a type."""
    arguments = get_args(annotation)
    if NoneType in arguments:
        return None
    if get_origin(annotation) is Literal:
        return arguments[0]
    if get_origin(annotation) is tuple and Ellipsis not in arguments:
        return tuple(map(value_of, arguments))
    if get_origin(annotation) in (tuple, list, dict):
        return get_origin(annotation)()
    if annotation is Point:
        return Point("main", 1, 0)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return example(annotation)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return next(iter(annotation))
    return {str: "x", int: 1, float: 0.5, bool: False}.get(annotation, 1)
