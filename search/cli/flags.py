"""Flags for the fields of a search, generated from its schema when a command needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from search.plan.form import FormGroup, InputKind, SpecField
from search.vocabulary.errors import InvalidSpec

HANDLED_ELSEWHERE = frozenset({"recipe", "data"})  # handled as an argument and as a local path


class TuneCommand(TyperCommand):
    """A command with a flag for each field of a search. The values end up in ``context.obj``.

    ``seqnorm --help`` does not read the schema, so that it is fast.
    """

    required: ClassVar[bool] = True  #: whether fields without a default are required
    excluded: ClassVar[frozenset[str]] = HANDLED_ELSEWHERE
    flag_names: ClassVar[Mapping[str, str]] = {}  #: flags whose names differ from their fields

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters of the command, including a flag for each field."""
        own = super().get_params(ctx)
        return [*own[:1], *_make_options(map(self._option, self._fields())), *own[1:]]

    def invoke(self, ctx: Any) -> object:
        """Parse the flags, then run the command.

        Raises:
            InvalidSpec: if a value is not a number or a list of numbers.
        """
        given = {field.name: ctx.params.pop(field.name) for field in self._fields()}
        ctx.obj = {
            field.name: _parse(field, self._flag(field), given[field.name])
            for field in self._fields()
            if given[field.name] is not None
        }
        return super().invoke(ctx)

    def _fields(self) -> list[SpecField]:
        from search.plan.fields import spec_fields  # imports pydantic

        return [field for field in spec_fields() if field.name not in self.excluded]

    def _flag(self, field: SpecField) -> str:
        return self.flag_names.get(field.name, f"--{field.name.replace('_', '-')}")

    def _option(self, field: SpecField) -> Parameter:
        required = self.required and field.required
        return Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if required else _default(field),
            annotation=Annotated[_python_type(field), typer.Option(self._flag(field), help=_help_text(field))],
        )


class GridCommand(TuneCommand):
    """The flags of ``grid``, which has one rule."""

    excluded = HANDLED_ELSEWHERE | {"strategy", "gm_rule"}
    flag_names: ClassVar[Mapping[str, str]] = {"gc_rule": "--rule"}


class PlanCommand(TuneCommand):
    """The flags of ``plan``: only what is tried counts, and a file may give the fields instead."""

    required = False

    def _fields(self) -> list[SpecField]:
        return [field for field in super()._fields() if field.form_field and field.form_field.group == FormGroup.TRY]


def _make_options(parameters: Iterable[Parameter]) -> list[Any]:
    """Let typer convert parameters to options, as it does for the parameters of a function."""

    def command(**given: Any) -> None:
        """Do nothing; only the signature matters."""

    named: Callable[..., None] = command
    named.__signature__ = Signature(list(parameters))  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command()(named)
    return typer.main.get_command(app).params


def _python_type(field: SpecField) -> object:
    kind = {InputKind.COUNT: int, InputKind.INTEGER: int, InputKind.NUMBER: float, InputKind.CHECKBOX: bool}.get(
        field.kind, str
    )
    return kind if field.required else kind | None


def _default(field: SpecField) -> object:
    """Return the default in the form that the flag takes; None if empty."""
    if field.kind == InputKind.COUNT:
        return len(field.default)
    return (
        field.format_value(field.default) or None
        if field.kind in (InputKind.WORDS, InputKind.INTEGERS)
        else field.default
    )


def _help_text(field: SpecField) -> str:
    text = field.help[:1].upper() + field.help[1:].replace("; null for", "; leave it out for")
    if summaries := [f"{name}: {summary}" for name, summary in field.choices.items() if summary]:
        return f"{'; '.join(summaries)}."
    if field.kind == InputKind.CHOICE:
        return f"{text}: {' or '.join(field.choices)}."
    return f"{text}{', e.g. 1,2,4' if field.kind == InputKind.INTEGERS else ''}."


def _parse(field: SpecField, flag: str, given: Any) -> object:
    """Convert the value of a flag to the value of its field."""
    if field.kind == InputKind.INTEGERS:
        return parse_integers(flag, given)
    if field.kind == InputKind.WORDS:
        return [word.strip() for word in given.split(",") if word.strip()]
    if field.kind == InputKind.NUMBER_OR_WORD:
        return _parse_number_or_word(flag, given, [*field.choices])
    return given


def parse_integers(flag: str, text: str) -> list[int]:
    """Parse ``1,2,4``; empty text is an empty list.

    Raises:
        InvalidSpec: if the text is anything else.
    """
    try:
        return [int(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise InvalidSpec(
            f"{flag} must be whole numbers separated by commas: got {text!r}. Give e.g. {flag} 1,2,4."
        ) from None


def _parse_number_or_word(flag: str, text: str, words: list[str]) -> float | str:
    if text in words:
        return text
    try:
        return float(text)
    except ValueError:
        raise InvalidSpec(
            f"{flag} must be a number or {' or '.join(words)}: got {text!r}. Give e.g. {flag} 0.002."
        ) from None
