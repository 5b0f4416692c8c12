"""The specification of a search: the body of ``POST /api/searches``, a YAML file, or the flags of the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal
from unicodedata import category

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from search.plan.form import FormField, FormGroup
from search.plan.grouping import gc_check, gm_check
from search.plan.naming import MAIN, MAX_VARIANT, NONE, RECIPE, VARIANT, Value, join_name, split_name, write_value
from search.plan.problems import first_problem, missing_message, validation_message
from search.plan.recipes import find_recipe
from search.plan.registry import OneOf
from search.plan.request import MAX_ENTRIES, FewEntries, RequestModel
from search.plan.rounds import MOST_CHECKS, UNTIL_SETTLED
from search.plan.rules import POINT, RULES_OF_SIZE, Rule
from search.plan.strategies import STRATEGIES, list_sweeps
from search.vocabulary.errors import Busy, InvalidSpec
from trainers import inspection
from trainers.commands.command import Command
from trainers.commands.placeholders import is_used
from trainers.groups import share_of_batch
from trainers.near_misses import did_you_mean, near_misses
from trainers.recipe import Recipe, RecipeError
from trainers.trial import Measure

LEAST_SHARE = 0.01  # of a GPU; Ray counts in ten-thousandths
FIRST_TEST_SEED = 1000  # larger than any default tuning seed

RESERVED = (
    "gm",
    "gc",
    "seed",
    "variant",
    "grid",
    "test",
    POINT,
)  # no names of further axes: stages and fields have them
MAX_AXES = 8  # further ones
MAX_AXIS_VALUES = 64  # of all further axes together
MAX_GRID_POINTS = 100_000

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
GroupCount = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
NumberValue = int | float | bool | str  # not converted: the recipe knows the type
Overrides = Annotated[dict[str, NumberValue], Field(max_length=MAX_ENTRIES), FewEntries]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Baseline = Literal["batchnorm", "none"]


def _one_line(text: object) -> object:
    if isinstance(text, str) and any(category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("must hold no control characters or lone surrogates")
    return text


def _lines(text: object) -> object:
    _one_line(text.replace("\n", "") if isinstance(text, str) else text)
    return text


Text = Annotated[str, Field(max_length=200), BeforeValidator(_one_line)]
Note = Annotated[str, Field(max_length=10_000), BeforeValidator(_lines)]


class SearchSpec(RequestModel):
    """A search: recipe, strategy, spaces, seeds and rules. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True)

    recipe: str = Field(max_length=100, description="name of an installed recipe")
    strategy: Annotated[str, OneOf(STRATEGIES), FormField(FormGroup.TRY, "Strategy")] = Field(
        "sequential", description="; or ".join(strategy.summary for strategy in STRATEGIES.values())
    )
    gm: Annotated[list[GroupCount], FormField(FormGroup.TRY, "gm, groups of samples")] = Field(
        max_length=256, description="group counts along the mini-batch to try"
    )
    gc: Annotated[list[GroupCount], FormField(FormGroup.TRY, "gc, groups of channels")] = Field(
        max_length=256, description="group counts along the channels to try"
    )
    seeds: Annotated[list[Seed], FormField(FormGroup.TRY, "Seeds, a count or a list", count=True)] = Field(
        [0, 1, 2], max_length=64, description="replicates of each point; a count n means 0 … n-1"
    )
    test_seeds: Annotated[int, FormField(FormGroup.TRY, "Test seeds")] = Field(
        3, strict=True, ge=1, le=64, description="number of new seeds, from 1000, for the final measurement"
    )
    gm_rule: Annotated[Rule, FormField(FormGroup.CHOOSE, "gm by")] = Field(
        "largest-stable", description="the rule by which stage gm chooses"
    )
    gc_rule: Annotated[Rule, FormField(FormGroup.CHOOSE, "gc or grid by")] = Field(
        "best-mean", description="the rule by which stage gc, or the grid, chooses"
    )
    tolerance: Annotated[
        Literal["auto"] | Annotated[float, Field(strict=True, ge=0)], FormField(FormGroup.CHOOSE, "Tolerance")
    ] = Field(
        "auto",
        description="largest distance from the best mean that performs well; auto derives it from the spread of seeds",
    )
    numbers: Overrides = Field({}, description="overrides of the recipe's numbers")
    variants: Annotated[dict[Name, Overrides], Field(max_length=MAX_ENTRIES), FewEntries] = Field(
        {"main": {}}, description="named sets of overrides to compare inside the search"
    )
    vary: Annotated[
        dict[str, Annotated[list[NumberValue], Field(max_length=MAX_AXIS_VALUES)]],
        Field(max_length=MAX_AXES),
        FewEntries,
        FormField(FormGroup.TRY, "Further axes, one a line", empty="learning_rate = 0.05, 0.1"),
    ] = Field({}, description="further axes: numbers of the recipe, each with the values to try")
    vary_rule: Annotated[Rule, FormField(FormGroup.CHOOSE, "Further axes by")] = Field(
        "best-mean", description="the rule by which the stage of a further axis chooses"
    )
    order: Annotated[list[str], FormField(FormGroup.TRY, "Order of the axes", empty="gm, gc, then the others")] = Field(
        [],
        max_length=MAX_AXES + 3,
        description="the axes in the order of their stages; empty for gm, gc and the others",
    )
    rounds: Annotated[
        Literal["until-settled"] | Annotated[int, Field(strict=True, ge=0, le=MOST_CHECKS)],
        FormField(FormGroup.CHOOSE, f"Checks, 0 to {MOST_CHECKS} or until-settled"),
    ] = Field(
        0,
        description="the number of checks after the first pass: each tunes the axes again at the values chosen for the "
        f"others; until-settled ends when nothing changes, after {MOST_CHECKS} at the latest",
    )
    check_rule: Annotated[Rule | None, FormField(FormGroup.CHOOSE, "In checks by", empty="the same rules")] = Field(
        None, description="the rule of checks, together with rounds; null for the rules of the first pass"
    )
    baselines: Annotated[list[Baseline], FormField(FormGroup.TRY, "Baselines")] = Field(
        ["batchnorm", "none"], max_length=2, description="what stage test compares with: batchnorm, none (no norm)"
    )
    baseline_variant: str = Field(
        "",
        max_length=64,
        description="variant whose numbers the baselines train with; empty for the recipe's own numbers",
    )
    test_numbers: Overrides = Field({}, description="overrides of the recipe's numbers in stage test alone")
    cpus: Annotated[float, FormField(FormGroup.RUN, "CPUs of a trial")] = Field(
        1, gt=0, le=1024, description="CPUs of a trial"
    )
    gpus: Annotated[float, FormField(FormGroup.RUN, "GPUs of a trial")] = Field(
        0, ge=0, le=64, description="GPUs of a trial; a fraction lets trials share one"
    )
    memory_gb: float | None = Field(None, gt=0, le=65536, description="memory of a trial in GB; null for no limit")
    concurrency: Annotated[int | None, FormField(FormGroup.RUN, "Trials at once", empty="as many as fit")] = Field(
        None, strict=True, ge=1, le=100_000, description="maximum number of trials at once; null for as many as fit"
    )
    trial_timeout: Annotated[float | None, FormField(FormGroup.RUN, "Seconds a trial may take", empty="no limit")] = (
        Field(None, gt=0, description="time limit of a trial in seconds; null for no limit")
    )
    max_failures_in_a_row: int = Field(
        10, strict=True, ge=1, description="failed trials in a row after which the search is paused"
    )
    priority: Annotated[int, FormField(FormGroup.RUN, "Priority")] = Field(
        0, strict=True, ge=-1000, le=1000, description="searches with a higher priority run first"
    )
    data: str | None = Field(None, max_length=4096, description="data set, if the recipe takes a choice")
    name: Annotated[Text, FormField(FormGroup.DESCRIBE, "Name")] = Field("", description="a name for lists")
    tags: Annotated[list[Name], FormField(FormGroup.DESCRIBE, "Tags, separated by commas")] = Field(
        [], max_length=32, description="words for filters"
    )
    note: Annotated[Note, FormField(FormGroup.DESCRIBE, "Note")] = Field("", description="free text")

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_from_count(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= 64:
                raise ValueError("must be from 1 to 64, or a list of seeds")
            return list(range(value))
        return value

    @field_validator("gm", "gc", "seeds")
    @classmethod
    def _filled_and_distinct(cls, values: list[int]) -> list[int]:
        if not values:
            raise ValueError("must hold at least one value")
        if len(set(values)) < len(values):
            raise ValueError("must not repeat a value")
        return values

    @field_validator("variants")
    @classmethod
    def _variant_names(cls, variants: dict[str, Any]) -> dict[str, Any]:
        if not variants or NONE in variants:
            raise ValueError(
                "must name at least one variant, and none of them `none`, which trains without normalization"
            )
        return variants

    @field_validator("vary")
    @classmethod
    def _further_axes(cls, vary: dict[str, list[Any]], others: ValidationInfo) -> dict[str, list[Any]]:
        for name, values in vary.items():
            if name in RESERVED:
                raise ValueError(f"must name numbers of the recipe, and none of them {', '.join(RESERVED)}")
            if name in others.data.get("numbers", {}):
                raise ValueError(f"must not name {name}, which numbers fixes: list its values here alone")
            if fixing := [each for each, numbers in others.data.get("variants", {}).items() if name in numbers]:
                raise ValueError(
                    f"must not name {name}, which the variant {fixing[0]} fixes: list its values here alone"
                )
            if not values:
                raise ValueError(f"must give {name} at least one value")
            for value in values:
                if isinstance(value, str) and (not value.strip() or "," in value):
                    raise ValueError(f"must give {name} values that are not empty and hold no comma")
        if sum(map(len, vary.values())) + len(others.data.get("variants", {})) - 1 > MAX_AXIS_VALUES:
            raise ValueError(f"must give at most {MAX_AXIS_VALUES} values in all, with those of variants")
        sizes = [*map(len, vary.values()), *(len(others.data.get(name, [0])) for name in ("gm", "gc", "variants"))]
        if vary and others.data.get("strategy") == "grid" and prod(sizes) > MAX_GRID_POINTS:
            raise ValueError(f"must leave a grid at most {MAX_GRID_POINTS:,} points, not {prod(sizes):,}")
        return vary

    @field_validator("vary_rule", "check_rule")
    @classmethod
    def _rule_for_every_axis(cls, rule: str | None, others: ValidationInfo) -> str | None:
        if rule in RULES_OF_SIZE and (others.field_name == "vary_rule" or others.data.get("vary")):
            raise ValueError("must be a rule for every axis: of numbers other than gm and gc, none is the larger one")
        if rule and others.field_name == "check_rule" and not others.data.get("rounds"):
            raise ValueError("needs rounds, which it is for")
        return rule

    @field_validator("order")
    @classmethod
    def _every_axis_once(cls, order: list[str], others: ValidationInfo) -> list[str]:
        if others.data.keys() >= {"variants", "vary"}:  # else another problem is reported
            axes = list_axes(others.data["variants"], others.data["vary"])
            if order and sorted(order) != sorted(axes):
                raise ValueError(f"must name every axis once: {', '.join(axes)}")
        return order

    @field_validator("rounds")
    @classmethod
    def _rounds_of_a_sequence(cls, rounds: int | str, others: ValidationInfo) -> int | str:
        if rounds and others.data.get("strategy") == "grid":
            raise ValueError("must be 0 in a grid, which tries every combination of values")
        return rounds

    @field_validator("baselines")
    @classmethod
    def _distinct(cls, values: list[Baseline]) -> list[Baseline]:
        if len(set(values)) < len(values):
            raise ValueError("must not repeat a value")
        return values

    @property
    def axes(self) -> list[str]:
        """The names of the parameters to tune, in the order of their stages."""
        return self.order or list_axes(self.variants, self.vary)

    @property
    def most_checks(self) -> int:
        """The number of checks after the first pass, at most."""
        return MOST_CHECKS if self.rounds == UNTIL_SETTLED else int(self.rounds)

    @property
    def test_seed_values(self) -> list[int]:
        """The seeds of stage ``test``; no tuning stage uses them."""
        first = max(FIRST_TEST_SEED, max(self.seeds) + 1)
        return list(range(first, first + self.test_seeds))

    @property
    def own_variant(self) -> str:
        """The variant of the baselines: one without overrides, unless another is named or there is only one."""
        if self.baseline_variant:
            return self.baseline_variant
        plain = [variant for variant, overrides in self.variants.items() if not overrides or len(self.variants) == 1]
        return plain[0] if plain else RECIPE if MAIN in self.variants else MAIN

    def resolve_numbers(self, recipe: Recipe, variant: str, measure: Measure = "validation") -> Any:
        """Return the recipe's numbers with the overrides of a variant, and of what is measured, applied."""
        return recipe.with_overrides(self.resolve_overrides(recipe, variant, measure))

    def resolve_all_numbers(self, recipe: Recipe) -> dict[str, Any]:
        """Return the recipe's numbers of each named set of overrides; those of a point add its own values to them."""
        return {variant: self.resolve_numbers(recipe, variant) for variant in self.variants}

    def resolve_each_value(self, recipe: Recipe) -> list[Any]:
        """Return the recipe's numbers of each named set of overrides, and with each value of a further axis alone.

        Stage ``test`` may have its own; each of them is returned once.
        """
        first = next(iter(self.variants))
        names = [join_name(first, {name: write_value(value)}) for name, values in self.vary.items() for value in values]
        measures: tuple[Measure, ...] = ("validation", "test") if self.test_numbers else ("validation",)
        found = [self.resolve_numbers(recipe, name, each) for each in measures for name in (*self.variants, *names)]
        return [*dict.fromkeys(found)]

    def resolve_overrides(self, recipe: Recipe, variant: str, measure: Measure = "validation") -> dict[str, object]:
        """Return the overrides of a variant, its own values as text; ``none`` has those of the baselines."""
        chosen, values = split_name(variant)
        normalizes = chosen != NONE
        overrides = self.variants.get(chosen if normalizes else self.own_variant, {})
        of_test = self.test_numbers if measure == "test" else {}
        return {**({} if normalizes else recipe.unnormalized), **self.numbers, **overrides, **values, **of_test}

    def read_values(self, variant: str) -> dict[str, Value]:
        """Return the values of further axes that a variant names, without those that are the recipe's own numbers."""
        texts = split_name(variant)[1]
        found = ((name, value) for name, values in self.vary.items() for value in values)
        return {name: value for name, value in found if texts.get(name) == write_value(value)}


def parse_spec(fields: dict[str, Any], home: Path | None = None, command: Command | None = None) -> SearchSpec:
    """Parse a spec and check it against its recipe, without torch.

    Args:
        fields: of a search.
        home: folder whose files may describe the recipe.
        command: that the search runs, if it was made from a script or a command line.

    Raises:
        InvalidSpec: with the first problem: the rule, the received value, and the remedy.
    """
    spec, recipe = read_spec(fields, home, command)
    for _, reason in find_refused_values(spec, recipe):
        raise InvalidSpec(reason)
    return spec


def read_spec(
    fields: dict[str, Any], home: Path | None = None, command: Command | None = None
) -> tuple[SearchSpec, Recipe]:
    """Parse a spec and find its recipe; group counts are not checked (see :mod:`search.plan.grouping`).

    The arguments are those of :func:`parse_spec`.

    Raises:
        InvalidSpec: with the first problem.
        Busy: if too many data sets are being checked.
    """
    try:
        spec = SearchSpec(**fields)
    except ValidationError as error:
        problems = error.errors()
        problem = first_problem(problems)
        if problem["type"] == "missing" and problem["loc"] != ("recipe",):
            raise InvalidSpec(missing_message(problems, SearchSpec)) from None
        raise InvalidSpec(
            validation_message(problem, SearchSpec) + _describe_misplaced(problem, fields, home, command)
        ) from None
    except TypeError:
        raise InvalidSpec(
            f"a search must be an object with fields: got {fields!r}. Give at least recipe, gm and gc."
        ) from None
    with refusing_specs():
        recipe = find_recipe(spec.recipe, home, command)
        spec = convert_values(spec, recipe)
        _check_baselines(spec, recipe)
        _check_test_numbers(spec, recipe)
        for numbers in spec.resolve_each_value(recipe):
            _check_devices(spec, numbers)
            _check_batch(spec, recipe, numbers)
        describe_data(spec, recipe)
    return spec, recipe


def list_axes(variants: Mapping[str, object], vary: Mapping[str, object]) -> list[str]:
    """Return the names of the axes in the order of their stages, unless a search says otherwise."""
    return ["gm", "gc", *([VARIANT] if len(variants) > 1 else []), *vary]


def convert_values(spec: SearchSpec, recipe: Recipe) -> SearchSpec:
    """Convert the values of further axes, and the numbers of stage test, to the types of the recipe's numbers.

    Raises:
        RecipeError: if the recipe has no such number, a value does not fit it, or two values are the same.
    """
    vary: dict[str, list[NumberValue]] = {}
    texts: dict[str, str] = {}  # the longest ones
    for name, values in spec.vary.items():
        if name in recipe.data_numbers:
            raise RecipeError(
                f"an axis must be a number of the training: got {name}, with which the data are read once for a whole "
                "search. Submit a search for each value."
            )
        vary[name] = [getattr(recipe.with_overrides({name: value}), name) for value in values]
        if len(set(vary[name])) < len(values):
            given = ", ".join(map(str, values))
            raise RecipeError(f"an axis must not repeat a value: got {name}={given}. Leave out what is repeated.")
        start = write_value(getattr(spec.resolve_numbers(recipe, next(iter(spec.variants))), name))
        if "," in start:
            raise RecipeError(
                f"an axis must start from a value without a comma: got {name}={start}, the recipe's own. "
                "Vary another number."
            )
        texts[name] = max([start, *map(write_value, vary[name])], key=len)
    longest = join_name(max(spec.variants, key=len), texts)
    if len(longest) > MAX_VARIANT:
        raise RecipeError(
            f"the names and values of a point must have at most {MAX_VARIANT} characters: got {len(longest)} in "
            f"{longest[:60]}…. Vary fewer numbers, or shorter texts."
        )
    of_test = recipe.with_overrides(spec.test_numbers)
    test_numbers = {name: getattr(of_test, name) for name in spec.test_numbers}
    return spec.model_copy(update={"vary": vary, "test_numbers": test_numbers}) if vary or test_numbers else spec


def read_stored(fields: Mapping[str, Any]) -> SearchSpec:
    """Return the spec of a stored search; the baselines of older ones have the numbers of the first variant."""
    spec = SearchSpec(**fields)
    first, overrides = next(iter(spec.variants.items()))
    if "baseline_variant" in fields or not overrides:
        return spec
    return spec.model_copy(update={"baseline_variant": first})


def _check_baselines(spec: SearchSpec, recipe: Recipe) -> None:
    """Check that the baselines can be trained.

    Raises:
        RecipeError: naming the one that cannot.
    """
    if spec.baseline_variant and spec.baseline_variant not in spec.variants:
        known = ", ".join(spec.variants)
        raise RecipeError(
            f"baseline_variant must name a variant of the search: got {spec.baseline_variant}. Known: {known}."
            f"{did_you_mean(spec.baseline_variant, spec.variants)}"
        )
    if spec.baselines == [NONE] and not recipe.trains_unnormalized:
        raise RecipeError("a command has its own layers, so it has no baseline without them: got none. Give batchnorm.")


def _check_test_numbers(spec: SearchSpec, recipe: Recipe) -> None:
    """Check that stage test may train with other numbers.

    Raises:
        RecipeError: naming one that it may not change.
    """
    command = recipe.command
    for name, value in spec.test_numbers.items():
        given = f"got {name}={value}"
        if command and not is_used(name, (*command.words, command.metric_file or "")):
            raise RecipeError(
                f"a number of stage test must stand in the command as {{{name}}}: {given}, which nothing uses. "
                "Write it there."
            )
        if name in spec.vary or any(name in overrides for overrides in spec.variants.values()):
            raise RecipeError(f"stage test must keep what the search compares: {given}. Leave it out of test_numbers.")
        if name in recipe.data_numbers:
            raise RecipeError(
                f"a search reads its data once, for all stages: {given} for stage test. Give it for the whole search."
            )


@contextmanager
def refusing_specs() -> Iterator[None]:
    """Raise what a recipe or a check of data refuses as :class:`InvalidSpec`, or :class:`Busy`."""
    try:
        yield
    except inspection.Busy as error:
        raise Busy(str(error)) from None
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None


def find_refused_values(spec: SearchSpec, recipe: Recipe) -> list[tuple[str, str]]:
    """Return every refused group count as (``gm=3``, reason), once: with the reason of the first variant it fails.

    Values of further axes are tried one by one; where several do not fit together, the layers refuse the point.
    """
    refused: dict[str, str] = {}
    for numbers in spec.resolve_each_value(recipe):
        for name, values, check in (
            ("gm", spec.gm, gm_check(numbers, _list_gcs_beside_gm(spec))),
            ("gc", spec.gc, gc_check(numbers, recipe, spec.strategy, gc_first=_tunes_gc_first(spec))),
        ):
            for value in values:
                if (found := f"{name}={value}") not in refused and (reason := check(value)):
                    refused[found] = reason
    return list(refused.items())


def _list_gcs_beside_gm(spec: SearchSpec) -> Sequence[int]:
    """Return the values of gc that gm is tried with: of a grid all, else those that are there when gm is tuned."""
    together = len(list_sweeps(spec.strategy)) == 1
    return spec.gc if together or _tunes_gc_first(spec) else (0,)


def _tunes_gc_first(spec: SearchSpec) -> bool:
    return spec.axes.index("gc") < spec.axes.index("gm")


def _check_devices(spec: SearchSpec, numbers: Any) -> None:
    """Check that a trial gets the devices it needs; third-party recipes and commands may not have these numbers."""
    kind, count = getattr(numbers, "device", "auto"), getattr(numbers, "real_devices", 1)
    if 0 < spec.gpus < LEAST_SHARE:
        raise RecipeError(
            f"a trial's share of a GPU must be at least {LEAST_SHARE}: got gpus={spec.gpus:g}. Give more."
        )
    if kind == "cuda" and not spec.gpus:
        raise RecipeError(f"device=cuda needs GPUs: got gpus={spec.gpus:g} for a trial. Give --gpus {count}.")
    if kind != "cpu" and count > 1 and 0 < spec.gpus < count:
        raise RecipeError(
            f"a trial needs a GPU for each of its devices: got real_devices={count} and gpus={spec.gpus:g}. "
            f"Give --gpus {count}, or --set device=cpu."
        )
    if (batch := getattr(numbers, "batch", None)) is not None:
        share_of_batch(batch, real_devices=count, accumulate=getattr(numbers, "accumulate", 1))


def _check_batch(spec: SearchSpec, recipe: Recipe, numbers: Any) -> None:
    if spec.data is None and recipe.bundled is not None and numbers.batch > recipe.bundled:
        raise RecipeError(
            f"the training split must fill a batch: got {recipe.bundled} samples for batch={numbers.batch}. "
            "Choose a smaller batch (--set batch=…)."
        )


def describe_data(spec: SearchSpec, recipe: Recipe) -> str:
    """Check a search's data set; return what was found in it, as a sentence; nothing if it has none.

    Raises:
        InvalidSpec: if the recipe takes no data set, or not this one.
        Busy: if too many data sets are being checked.
    """
    if spec.data is None:
        return ""
    with refusing_specs():
        if recipe.check_data is None:
            raise RecipeError(f"{recipe.name} takes no data set: got {spec.data}. Leave out --data.")
        numbers = spec.resolve_numbers(recipe, next(iter(spec.variants)))
        return inspection.check(recipe.check_data, numbers, spec.data)


def _describe_misplaced(
    problem: Mapping[str, Any], fields: Mapping[str, Any], home: Path | None, command: Command | None
) -> str:
    """Return where a field belongs that is a number of the recipe; empty if it is none."""
    if problem["type"] != "extra_forbidden":
        return ""
    try:
        recipe = find_recipe(str(fields.get("recipe")), home, command)
    except RecipeError:
        return ""
    found = near_misses(str(problem["loc"][0]), [field.name for field in dataclasses.fields(recipe.numbers)])
    return f" The number {found[0]} of {recipe.name} belongs under numbers." if found else ""
