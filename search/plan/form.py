"""How the fields of a search appear in a form, and how their values are written as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class FormGroup(StrEnum):
    """A group of fields in the form of a new search; the value is its legend."""

    TRY = "What to try"
    CHOOSE = "How to choose"
    RUN = "Where it runs"
    DESCRIBE = "Description"


@dataclass(frozen=True)
class FormField:
    """Annotation for a field that the form shows."""

    group: FormGroup
    label: str
    empty: str = ""  #: placeholder: the meaning of an empty field
    count: bool = False  #: whether a single number is the number of values


class InputKind(StrEnum):
    """The kind of input that a field takes."""

    CHOICE = "choice"  #: one of several names
    COUNT = "count"  #: whole numbers separated by commas, or a single count
    INTEGERS = "integers"  #: whole numbers separated by commas
    WORDS = "words"  #: words separated by commas
    AXES = "axes"  #: a name with its values on each line
    INTEGER = "integer"  #: a whole number
    NUMBER = "number"
    NUMBER_OR_WORD = "number-or-word"
    TEXT = "text"  #: one line
    MULTILINE = "lines"
    CHECKBOX = "switch"  #: on or off


@dataclass(frozen=True, kw_only=True)
class SpecField:
    """A field of a search that can be written as text."""

    name: str
    help: str  #: a description, as the end of a sentence
    kind: InputKind
    required: bool
    default: Any  #: JSON; None if there is none
    form_field: FormField | None  #: None if the form does not show it
    choices: Mapping[str, str] = field(default_factory=dict)  #: allowed names with their descriptions
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None  #: of text, in characters

    def format_value(self, value: Any) -> str:
        """Write a value as a user would type it."""
        if isinstance(value, dict):
            return "\n".join(f"{name} = {', '.join(map(str, values))}" for name, values in value.items())
        if isinstance(value, list):
            return ",".join(map(str, value))
        return "" if value is None else str(value)
