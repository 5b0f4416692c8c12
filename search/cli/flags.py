"""What a command line gives of a search: RECIPE, flags, which the schema generates, and the words after ``--``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from search.cli.stray_words import refuse_stray_words
from search.plan.form import InputKind, SpecField
from search.vocabulary.errors import InvalidSpec
from trainers.recipe import names

HANDLED_ELSEWHERE = frozenset({"recipe", "data", "vary"})  # handled as an argument, a local path, NAME=VALUE,VALUE
DASHES = "--"
PANEL = "Your own script or command"


def complete_recipe(incomplete: str) -> list[str]:
    """Return the recipes that begin so."""
    from search.settings import read_settings

    try:
        return [name for name in names(read_settings().home) if name.startswith(incomplete)]
    except Exception:  # a shell that completes words shows no errors
        return []


def complete_recipe_or_script(incomplete: str) -> list[str]:
    """Return the recipes, Python scripts and folders that begin so."""
    folder, start = os.path.split(incomplete)
    try:
        entries = [entry for entry in os.scandir(folder or ".") if entry.name.startswith(start)]
    except OSError:
        entries = []
    scripts = [os.path.join(folder, entry.name) for entry in entries if entry.name.endswith(".py")]
    folders = [os.path.join(folder, entry.name, "") for entry in entries if entry.is_dir()]
    return [*complete_recipe(incomplete), *sorted(scripts), *sorted(folders)]


Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a recipe's number, or fill {NAME} in a command: NAME=VALUE; may be repeated."),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        help="Tune one more number of the recipe, or {NAME} of a command, after gm and gc: NAME=VALUE,VALUE; "
        "may be repeated.",
    ),
]
Data = Annotated[
    str | None, typer.Option(help="Your images, where the recipe takes a choice: an .npz with x and y, or a folder.")
]


def _inputs(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="Recipe to train (seqnorm recipes lists them), or your own script; its arguments stand after --.",
            metavar="RECIPE",
            autocompletion=complete_recipe_or_script,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="YAML or JSON file with the fields of a search, - for stdin; flags override it."
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="One of the recipe's named sets of numbers; --set overrides it.")
    ] = None,
    set_: Set = None,
    vary: Vary = None,
    test_preset: Annotated[
        str | None, typer.Option(help="As --preset, for the trials of stage test alone.", metavar="NAME")
    ] = None,
    test_set: Annotated[
        list[str] | None,
        typer.Option(help="As --set, for the trials of stage test alone; may be repeated.", metavar="NAME=VALUE"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Network of the recipe images: torchvision:NAME or timm:NAME.", metavar="NAME")
    ] = None,
    data: Data = None,
) -> None:
    """Take what every search is made of; only the signature matters."""


def _program_flags(
    metric: Annotated[
        str, typer.Option(help="Name of the figure to compare.", metavar="NAME", rich_help_panel=PANEL)
    ] = "accuracy",
    mode: Annotated[
        str, typer.Option(help="Whether the metric is better high or low.", metavar="max|min", rich_help_panel=PANEL)
    ] = "max",
    metric_file: Annotated[
        str | None,
        typer.Option(
            help="CSV or JSON file that the program writes the metric to, e.g. {folder}/metrics.csv.",
            metavar="FILE",
            rich_help_panel=PANEL,
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression that finds the metric in a line, as its only group.",
            metavar="REGEX",
            rich_help_panel=PANEL,
        ),
    ] = None,
    test_metric: Annotated[
        str | None,
        typer.Option(
            help="Figure on held-out data, compared in stage test instead.", metavar="NAME", rich_help_panel=PANEL
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Samples per step, so that gm is checked.", metavar="N", rich_help_panel=PANEL),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs that a trial reports, to show its progress.", metavar="N", rich_help_panel=PANEL),
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option(
            help="File that results depend on besides the script; may be repeated.",
            metavar="FILE",
            rich_help_panel=PANEL,
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            help="Environment variable that the program gets as well; may be repeated.",
            metavar="NAME",
            rich_help_panel=PANEL,
        ),
    ] = None,
) -> None:
    """Take what describes a person's own program; only the signature matters."""


@dataclass(frozen=True, kw_only=True)
class SearchArguments:
    """What a command line gives of a search."""

    recipe: str | None = None  #: name of a recipe, or path of a script
    words: tuple[str, ...] | None = None  #: what stands after ``--``, literally; None without ``--``
    file: Path | None = None
    preset: str | None = None
    set_: list[str] | None = None  #: ``NAME=VALUE`` each
    vary: list[str] | None = None  #: ``NAME=VALUE,VALUE`` each
    test_preset: str | None = None
    test_set: list[str] | None = None  #: ``NAME=VALUE`` each
    model: str | None = None
    data: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)  #: fields of the search; only those that were typed
    program: dict[str, Any] = field(default_factory=dict)  #: flags of a program; only those that were typed


class TuneCommand(TyperCommand):
    """A command that takes a search, with a flag for each field. What was typed ends up in ``context.obj``.

    None is required, as a file may give the fields. ``seqnorm --help`` does not read the schema, so that it is fast.
    """

    excluded: ClassVar[frozenset[str]] = HANDLED_ELSEWHERE
    flag_names: ClassVar[Mapping[str, str]] = {}  #: flags whose names differ from their fields
    inputs: ClassVar[tuple[str, ...]] = (
        *("recipe", "file", "preset", "set_", "vary", "test_preset", "test_set"),
        *("model", "data"),
    )

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters of the command, including a flag for each field."""
        recipe, *inputs = _make_options(each for each in _INPUTS if each.name in self.inputs)
        flags = _make_options(map(self._option, self._fields()))
        return [recipe, *flags, *inputs, *_make_options(_PROGRAM_FLAGS), *super().get_params(ctx)]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGUMENTS or COMMAND]"]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before ``--``; what stands after it is taken as it is.

        Raises:
            InvalidSpec: if words of a script or command stand before it.
        """
        own = args[: args.index(DASHES)] if DASHES in args else args
        ctx.meta[DASHES] = tuple(args[len(own) + 1 :]) if DASHES in args else None
        if not ctx.resilient_parsing:
            parser = self.make_parser(ctx)
            parser.ignore_unknown_options = True
            given, left, _ = parser.parse_args(args=[*own])
            if "help" not in given and (recipe := given.get("recipe")):
                refuse_stray_words(_name_command(ctx), own, [recipe, *left], ctx.meta[DASHES] or (), self._flags(ctx))
        return super().parse_args(ctx, [*own])

    def invoke(self, ctx: Any) -> object:
        """Parse the flags, then run the command.

        Raises:
            InvalidSpec: if a value is not a number or a list of numbers.
        """

        def take(names: Iterable[str]) -> dict[str, Any]:
            values = {name: ctx.params.pop(name) for name in names}
            return {name: value for name, value in values.items() if _is_typed(ctx, name)}

        typed = take(field.name for field in self._fields())
        fields = {field.name: field for field in self._fields()}
        ctx.obj = SearchArguments(
            words=ctx.meta[DASHES],
            fields={name: _parse(fields[name], self._flag(fields[name]), value) for name, value in typed.items()},
            program=take(each.name for each in _PROGRAM_FLAGS),
            **take(self.inputs),
        )
        return super().invoke(ctx)

    def _flags(self, ctx: Any) -> list[str]:
        """Return the flags that the command has, and those of every command."""
        return [flag for option in self.get_params(ctx) for flag in option.opts if flag.startswith("-")]

    def _fields(self) -> list[SpecField]:
        from search.plan.fields import spec_fields  # imports pydantic

        return [field for field in spec_fields() if field.name not in self.excluded]

    def _flag(self, field: SpecField) -> str:
        return self.flag_names.get(field.name, f"--{field.name.replace('_', '-')}")

    def _option(self, field: SpecField) -> Parameter:
        names = [self._flag(field)]
        if field.kind == InputKind.WORDS and names[0].endswith("s"):
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

    excluded = HANDLED_ELSEWHERE | {"strategy", "gm_rule", "vary_rule", "rounds", "check_rule"}
    flag_names: ClassVar[Mapping[str, str]] = {"gc_rule": "--rule"}


class CheckCommand(TuneCommand):
    """The flags of ``recipes check``: a program and its numbers, without a search."""

    inputs = ("recipe", "preset", "set_")

    def _fields(self) -> list[SpecField]:
        return []


def _name_command(ctx: Any) -> str:
    """Return the words that call a command, e.g. ``recipes check``."""
    above = f"{_name_command(ctx.parent)} " if ctx.parent and ctx.parent.parent else ""
    return f"{above}{ctx.info_name}"


def _is_typed(ctx: Any, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return bool(source) and source.name == "COMMANDLINE"


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


_INPUTS, _PROGRAM_FLAGS = (
    tuple(signature(function, eval_str=True).parameters.values()) for function in (_inputs, _program_flags)
)


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
    if field.kind == InputKind.WORDS:
        return field.default or None
    return field.format_value(field.default) or None if field.kind == InputKind.INTEGERS else field.default


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
    for parse in (int, float):
        with contextlib.suppress(ValueError):
            return parse(text)
    raise InvalidSpec(f"{flag} must be a number or {' or '.join(words)}: got {text!r}. Give e.g. {flag} {words[0]}.")
