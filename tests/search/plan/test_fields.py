"""The fields of a search as forms and flags draw them."""

from __future__ import annotations

import pytest

from search.plan.fields import form_fields, spec_fields
from search.plan.form import FormGroup, InputKind
from search.plan.selection import RULES
from search.plan.spec import SearchSpec
from search.plan.strategies import STRATEGIES

FIELDS = {field.name: field for field in spec_fields()}
OBJECTS = ("numbers", "variants", "test_numbers")


def test_every_field_but_objects_without_a_form_is_there() -> None:
    assert [*FIELDS] == [name for name in SearchSpec.model_fields if name not in OBJECTS]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("strategy", InputKind.CHOICE),
        ("gm", InputKind.INTEGERS),
        ("seeds", InputKind.COUNT),
        ("test_seeds", InputKind.INTEGER),
        ("gm_rule", InputKind.CHOICE),
        ("tolerance", InputKind.NUMBER_OR_WORD),
        ("cpus", InputKind.NUMBER),
        ("concurrency", InputKind.INTEGER),
        ("trial_timeout", InputKind.NUMBER),
        ("name", InputKind.TEXT),
        ("rounds", InputKind.NUMBER_OR_WORD),
        ("check_rule", InputKind.CHOICE),
        ("order", InputKind.WORDS),
        ("vary", InputKind.AXES),
        ("baselines", InputKind.WORDS),
        ("tags", InputKind.WORDS),
        ("note", InputKind.MULTILINE),
    ],
)
def test_a_kind_follows_from_the_schema(name: str, kind: InputKind) -> None:
    assert FIELDS[name].kind == kind


def test_what_is_registered_can_be_chosen_strategies_with_what_they_mean() -> None:
    assert FIELDS["strategy"].choices == {name: each.summary for name, each in STRATEGIES.items()}
    assert [*FIELDS["gc_rule"].choices] == [*FIELDS["check_rule"].choices] == [*RULES]


def test_limits_and_defaults_are_those_of_the_schema() -> None:
    seeds, gm, cpus = FIELDS["test_seeds"], FIELDS["gm"], FIELDS["cpus"]
    assert (seeds.minimum, seeds.maximum, seeds.default, seeds.required) == (1, 64, 3, False)
    assert (cpus.minimum, cpus.maximum) == (0, 1024)
    assert (gm.required, gm.default) == (True, None)
    assert FIELDS["note"].max_length == 10_000


def test_a_value_is_written_as_a_person_would() -> None:
    assert FIELDS["gm"].format_value([1, 2, 4]) == "1,2,4"
    assert FIELDS["concurrency"].format_value(None) == ""
    assert FIELDS["priority"].format_value(0) == "0"
    assert FIELDS["vary"].format_value({"lr": [0.05, 0.1], "act": ["relu"]}) == "lr = 0.05, 0.1\nact = relu"


def test_a_form_has_a_part_for_each_group_and_leaves_out_what_is_not_drawn() -> None:
    groups = form_fields()
    assert [field.name for field in groups[FormGroup.CHOOSE]] == [
        *("gm_rule", "gc_rule", "tolerance", "vary_rule", "rounds", "check_rule")
    ]
    shown = {field.name for group in groups.values() for field in group}
    assert shown == {field.name for field in spec_fields() if field.form_field}
    assert {"recipe", "data", "memory_gb"} & shown == set()
