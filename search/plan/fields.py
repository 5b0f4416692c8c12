"""The fields of a search as a form and a command line draw them: read from the schema of ``SearchSpec``."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.fields import FieldInfo

from search.plan.drawing import Drawn, Group, Kind, SpecField
from search.plan.registry import OneOf
from search.plan.spec import SearchSpec

LONG = 1000  # characters; text that may be longer has several lines


@cache
def spec_fields() -> tuple[SpecField, ...]:
    """Return the fields of a search in their order; those that are objects are left out."""
    schemas = SearchSpec.model_json_schema()["properties"]
    found = (_field(name, info, schemas[name]) for name, info in SearchSpec.model_fields.items())
    return tuple(each for each in found if each)


def drawn_fields() -> dict[Group, list[SpecField]]:
    """Return the fields of each group of a form."""
    return {group: [each for each in spec_fields() if each.drawn and each.drawn.group == group] for group in Group}


def _field(name: str, info: FieldInfo, schema: dict[str, Any]) -> SpecField | None:
    drawn = next((each for each in info.metadata if isinstance(each, Drawn)), None)
    forms = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    kind = _kind(forms, drawn)
    if kind is None:
        return None
    registry = next((each for each in info.metadata if isinstance(each, OneOf)), None)
    limits = forms[-1]
    return SpecField(
        name=name,
        help=info.description or name,
        kind=kind,
        required=info.is_required(),
        default=schema.get("default"),
        drawn=drawn,
        choices=registry.summaries if registry else {each["const"]: "" for each in forms if "const" in each},
        at_least=limits.get("minimum", limits.get("exclusiveMinimum")),
        at_most=limits.get("maximum"),
        longest=limits.get("maxLength"),
    )


def _kind(forms: list[dict[str, Any]], drawn: Drawn | None) -> Kind | None:
    """Tell what is written into a field from the forms that its value may have; None for an object."""
    form = forms[-1]
    if "enum" in form:
        return Kind.CHOICE
    if form["type"] == "array":
        if form["items"]["type"] != "integer":
            return Kind.WORDS
        return Kind.COUNT if drawn and drawn.count else Kind.WHOLES
    if form["type"] == "number":
        return Kind.NUMBER_OR_WORD if len(forms) > 1 else Kind.NUMBER
    if form["type"] == "string":
        return Kind.LINES if form.get("maxLength", 0) > LONG else Kind.TEXT
    return {"integer": Kind.WHOLE, "boolean": Kind.SWITCH}.get(form["type"])
