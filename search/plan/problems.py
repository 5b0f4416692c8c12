"""Says what is wrong with a request, in words for people: pydantic's problems as rule, received value and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from search.plan.rounds import MOST_CHECKS, UNTIL_SETTLED
from trainers.near_misses import did_you_mean

_RULES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of a search",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must give names with their values",
    "string_type": "must be text",
}
_LISTS = {
    "seeds": "[0, 1], or a count",
    "tags": "[night, short]",
    "vary": "{learning_rate: [0.1, 0.2]}",
    "order": "[learning_rate, gm, gc]",
    "baselines": "[batchnorm]",
}  # examples of those that are no group counts
_UNIONS = {  # pydantic reports only one member of these
    "tolerance": "must be auto, or a finite number of 0 or more",
    "numbers": "must give each name a finite number, true, false or text",
    "test_numbers": "must give each name a finite number, true, false or text",
    "vary": "must give each name a list of finite numbers, true, false or text",
    "rounds": f"must be {UNTIL_SETTLED}, or a whole number from 0 to {MOST_CHECKS}",
}


def first_problem(problems: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the problem to report: an unknown field first, as it may be the one that is missing, spelt otherwise."""
    return next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])


def validation_message(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Convert a pydantic error to a message with rule, received value and remedy."""
    field = str(problem["loc"][0]) if problem["loc"] else "the search"
    received = "nothing" if problem["type"] == "missing" else repr(problem["input"])[:200]
    if problem["type"] == "extra_forbidden":
        known = model.model_fields
        hint = did_you_mean(field, known)
        return f"{field} {violated_rule(problem)}: got {received}. Known: {', '.join(known)}.{hint}"
    if problem["type"] == "literal_error" and field not in _UNIONS:
        return f"{field} {violated_rule(problem)}: got {received}. Give one of them."
    if problem["type"] == "list_type":
        example = _LISTS.get(field, "[1, 2]")
        return f"{field} {violated_rule(problem)}: got {received}. Give a list, e.g. {field}: {example}"
    described = model.model_fields.get(field)
    rule = (
        _UNIONS[field]
        if field in _UNIONS and problem["type"] not in ("too_long", "value_error")
        else violated_rule(problem)
    )
    return f"{field} {rule}: got {received}. Give {described.description if described else 'another value'}."


def missing_message(problems: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> str:
    """Name all fields that are missing, gm and gc, at once."""
    missing = [str(each["loc"][0]) for each in problems if each["type"] == "missing"]
    described = " and ".join(str(model.model_fields[name].description) for name in missing)
    return f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} required: got nothing. Give {described}."


def violated_rule(problem: Mapping[str, Any]) -> str:
    """Return the rule that a pydantic error violates, as the end of a sentence."""
    rule = _RULES.get(problem["type"]) or problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return str(rule[0].lower() + rule[1:])
