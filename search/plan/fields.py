"""The fields of a search, read from the schema of ``SearchSpec``, for the form and the command line."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.fields import FieldInfo

from search.plan.form import FormField, FormGroup, InputKind, SpecField
from search.plan.registry import OneOf
from search.plan.spec import SearchSpec

LONG = 1000  # characters; longer text gets several lines


@cache
def spec_fields() -> tuple[SpecField, ...]:
    """Return the fields of a search in order, without the objects that no form has."""
    schemas = SearchSpec.model_json_schema()["properties"]
    found = (_field(name, info, schemas[name]) for name, info in SearchSpec.model_fields.items())
    return tuple(each for each in found if each)


def form_fields() -> dict[FormGroup, list[SpecField]]:
    """Return the fields of each group of the form."""
    return {
        group: [each for each in spec_fields() if each.form_field and each.form_field.group == group]
        for group in FormGroup
    }


def _field(name: str, info: FieldInfo, schema: dict[str, Any]) -> SpecField | None:
    form_field = next((each for each in info.metadata if isinstance(each, FormField)), None)
    forms = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    kind = _kind(forms, form_field)
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
        form_field=form_field,
        choices=registry.summaries if registry else _list_choices(forms),
        minimum=limits.get("minimum", limits.get("exclusiveMinimum")),
        maximum=limits.get("maximum"),
        max_length=limits.get("maxLength"),
    )


def _list_choices(forms: list[dict[str, Any]]) -> dict[str, str]:
    """Return the words that JSON schemas allow."""
    words = (word for form in forms for word in (*form.get("enum", ()), form.get("const")))
    return {word: "" for word in words if word is not None}


def _kind(forms: list[dict[str, Any]], form_field: FormField | None) -> InputKind | None:
    """Return the input kind for the JSON schemas of a field; None for an object that no form has."""
    form = forms[-1]
    if "enum" in form:
        return InputKind.CHOICE
    if form["type"] == "object":
        return InputKind.AXES if form_field else None
    if form["type"] == "array":
        if form["items"]["type"] != "integer":
            return InputKind.WORDS
        return InputKind.COUNT if form_field and form_field.count else InputKind.INTEGERS
    if form["type"] in ("number", "integer") and len(forms) > 1:
        return InputKind.NUMBER_OR_WORD
    if form["type"] == "number":
        return InputKind.NUMBER
    if form["type"] == "string":
        return InputKind.MULTILINE if form.get("maxLength", 0) > LONG else InputKind.TEXT
    return {"integer": InputKind.INTEGER, "boolean": InputKind.CHECKBOX}.get(form["type"])
