"""Flags for the fields of a search, generated from its schema when a command needs them, and those of every command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from search.plan.form import InputKind, SpecField
from search.vocabulary.errors import InvalidSpec

HANDLED_ELSEWHERE = frozenset({"recipe", "data"})  # handled as an argument and as a local path


class TuneCommand(TyperCommand):
    """A command with a flag for each field of a search. The values that are given end up in ``context.obj``.

    None is required, as a file may give the fields. ``seqnorm --help`` does not read the schema, so that it is fast.
    """

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
        values = {field.name: ctx.params.pop(field.name) for field in self._fields()}
        ctx.obj = {
            field.name: _parse(field, self._flag(field), values[field.name])
            for field in self._fields()
            if (source := ctx.get_parameter_source(field.name)) and source.name == "COMMANDLINE"
        }
        return super().invoke(ctx)

    def _fields(self) -> list[SpecField]:
        from search.plan.fields import spec_fields  # imports pydantic

        return [field for field in spec_fields() if field.name not in self.excluded]

    def _flag(self, field: SpecField) -> str:
        return self.flag_names.get(field.name, f"--{field.name.replace('_', '-')}")

    def _option(self, field: SpecField) -> Parameter:
        names = [self._flag(field)]
        if field.kind == InputKind.WORDS:
            names.append(names[0].removesuffix("s"))
        option = typer.Option(*names, help=_help_text(field), autocompletion=_complete_with(field.choices))
        return Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=Annotated[_python_type(field), option],
        )


class GridCommand(TuneCommand):
    """The flags of ``grid``, which has one rule."""

    excluded = HANDLED_ELSEWHERE | {"strategy", "gm_rule"}
    flag_names: ClassVar[Mapping[str, str]] = {"gc_rule": "--rule"}


def _complete_with(choices: Iterable[str]) -> Callable[[str], list[str]] | None:
    """Return a function that completes a value; None if any value is allowed."""
    words = [*choices]
    return (lambda incomplete: [word for word in words if word.startswith(incomplete)]) if words else None


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
    kinds: dict[InputKind, Any] = {
        InputKind.COUNT: int,
        InputKind.INTEGER: int,
        InputKind.NUMBER: float,
        InputKind.CHECKBOX: bool,
        InputKind.WORDS: list[str],
    }
    return kinds.get(field.kind, str) | None


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
    if field.kind == InputKind.WORDS:
        return f"{text}, separated by commas; may be repeated."
    needed = "; needed without -f" if field.required else ""
    return f"{text}{', e.g. 1,2,4' if field.kind == InputKind.INTEGERS else ''}{needed}."


def _parse(field: SpecField, flag: str, given: Any) -> object:
    """Convert the value of a flag to the value of its field."""
    if field.kind == InputKind.INTEGERS:
        return parse_integers(flag, given)
    if field.kind == InputKind.WORDS:
        return [word.strip() for words in given for word in words.split(",") if word.strip()]
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
