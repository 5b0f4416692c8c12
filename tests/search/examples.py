"""Views to answer with, made of their fields' types."""

from __future__ import annotations

from enum import StrEnum
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel

from search.selection import Point
from search.spec import SearchSpec

Kind = TypeVar("Kind", bound=BaseModel)


def example(kind: type[Kind], **fields: Any) -> Kind:
    """Return a view with some fields given and the others as plain as their types allow."""
    if kind is SearchSpec:
        fields = {"recipe": "planted", "gm": [1], "gc": [1], **fields}
    made = {name: value_of(field.annotation) for name, field in kind.model_fields.items() if field.is_required()}
    return kind(**made | fields)


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
