"""The fields of a search as forms and flags draw them."""

from __future__ import annotations

import pytest

from search.plan.drawing import Group, Kind
from search.plan.fields import drawn_fields, spec_fields
from search.plan.selection import RULES
from search.plan.spec import SearchSpec
from search.plan.strategies import STRATEGIES

FIELDS = {field.name: field for field in spec_fields()}


def test_every_field_but_objects_is_there() -> None:
    assert [*FIELDS] == [name for name in SearchSpec.model_fields if name not in ("numbers", "variants")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("strategy", Kind.CHOICE),
        ("gm", Kind.WHOLES),
        ("seeds", Kind.COUNT),
        ("test_seeds", Kind.WHOLE),
        ("gm_rule", Kind.CHOICE),
        ("tolerance", Kind.NUMBER_OR_WORD),
        ("cpus", Kind.NUMBER),
        ("concurrency", Kind.WHOLE),
        ("trial_timeout", Kind.NUMBER),
        ("name", Kind.TEXT),
        ("tags", Kind.WORDS),
        ("note", Kind.LINES),
    ],
)
def test_a_kind_follows_from_the_schema(name: str, kind: Kind) -> None:
    assert FIELDS[name].kind == kind


def test_what_is_registered_can_be_chosen_strategies_with_what_they_mean() -> None:
    assert FIELDS["strategy"].choices == {name: each.summary for name, each in STRATEGIES.items()}
    assert [*FIELDS["gc_rule"].choices] == [*RULES]


def test_limits_and_defaults_are_those_of_the_schema() -> None:
    seeds, gm, cpus = FIELDS["test_seeds"], FIELDS["gm"], FIELDS["cpus"]
    assert (seeds.at_least, seeds.at_most, seeds.default, seeds.required) == (1, 64, 3, False)
    assert (cpus.at_least, cpus.at_most) == (0, 1024)
    assert (gm.required, gm.default) == (True, None)
    assert FIELDS["note"].longest == 10_000


def test_a_value_is_written_as_a_person_would() -> None:
    assert FIELDS["gm"].written([1, 2, 4]) == "1,2,4"
    assert FIELDS["concurrency"].written(None) == ""
    assert FIELDS["priority"].written(0) == "0"


def test_a_form_has_a_part_for_each_group_and_leaves_out_what_is_not_drawn() -> None:
    groups = drawn_fields()
    assert [field.name for field in groups[Group.CHOOSE]] == ["gm_rule", "gc_rule", "tolerance"]
    drawn = {field.name for group in groups.values() for field in group}
    assert drawn == {field.name for field in spec_fields() if field.drawn}
    assert {"recipe", "data", "memory_gb"} & drawn == set()
