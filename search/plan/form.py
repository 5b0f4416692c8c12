"""How the fields of a search are shown by a form, and format_value as text there and on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class FormGroup(StrEnum):
    """A part of the form of a new search, by its legend."""

    TRY = "What to try"
    CHOOSE = "How to choose"
    RUN = "Where it runs"
    DESCRIBE = "For people"


@dataclass(frozen=True)
class FormField:
    """Annotates a field that a form shows."""

    group: FormGroup
    label: str
    empty: str = ""  #: what leaving it empty means
    count: bool = False  #: whether one number is how many values there are


class InputKind(StrEnum):
    """What somebody writes into a field."""

    CHOICE = "choice"  #: one of some names
    COUNT = "count"  #: whole numbers with commas, or one that is how many there are
    INTEGERS = "integers"  #: whole numbers with commas
    WORDS = "words"  #: words with commas
    INTEGER = "integer"  #: a whole number
    NUMBER = "number"
    NUMBER_OR_WORD = "number-or-word"
    TEXT = "text"  #: one line
    MULTILINE = "lines"
    CHECKBOX = "switch"  #: on or off


@dataclass(frozen=True, kw_only=True)
class SpecField:
    """A field of a search that can be format_value as text."""

    name: str
    help: str  #: what it is, as the end of a sentence
    kind: InputKind
    required: bool
    default: Any  #: JSON; None if there is none
    form_field: FormField | None  #: None: a form leaves it out
    choices: Mapping[str, str] = field(default_factory=dict)  #: names that it takes, each with what it means
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None  #: text, in characters

    def format_value(self, value: Any) -> str:
        """Write a value as a person would."""
        if isinstance(value, list):
            return ",".join(map(str, value))
        return "" if value is None else str(value)
