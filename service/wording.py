"""Says what is refused in the words of the place where it is read.

Messages are written for the command line, where most of the code runs too. A client of the API knows fields and routes
instead of flags and commands; a person at the dashboard knows labels and buttons. The rules here say for each flag and
command what it is called there; a test finds messages that they leave out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeVar

from fastapi import Request

from search.plan.fields import spec_fields
from search.views import View
from search.vocabulary.places import PLACE_HEADER, Place

ViewT = TypeVar("ViewT", bound=View)

VALUE = r"([^\s,;()]*?)(?=\.?(?:[\s,;()]|$))"  # without the point that ends a sentence
ID = r"([\w.-]*\w)"


@dataclass(frozen=True)
class Rule:
    """What a flag or a command is called elsewhere, as the replacement of a regular expression."""

    pattern: str
    api: str
    page: str


RULES = (
    # Commands
    Rule("List them with: seqnorm list", "List them with: GET /api/searches", "Click “Searches” for the list"),
    Rule("List them with: seqnorm token list", "List them with: GET /api/tokens", "Click “Tokens” for the list"),
    Rule(
        rf"Follow it with: seqnorm watch {ID}",
        r"Follow it with: GET /api/searches/\1/events",
        "Open its page to follow it",
    ),
    Rule(
        rf"with: seqnorm resume {ID} --accept-code-change",
        r"with: POST /api/searches/\1/resume and accept_code_change=true",
        "with the button “Resume with the change”",
    ),
    Rule(rf"with: seqnorm show {ID}", r"with: GET /api/searches/\1", "on its page"),
    Rule(rf", or: seqnorm resume {ID}", "", ""),  # of a search whose driver is gone; a worker takes it over
    *(
        Rule(
            rf"{before}: seqnorm {action} {ID}",
            rf"{before}: POST /api/searches/\1/{action}",
            f"{joined} the button “{action.capitalize()}” on its page",
        )
        for action in ("pause", "cancel", "resume", "retry", "widen")
        for before, joined in ((" with", " with"), ("", ", with"))
    ),
    Rule(rf"(?<=\. )seqnorm recipes {ID} lists", r"GET /api/recipes/\1 lists", "The form of a new search lists"),
    Rule(rf"seqnorm recipes {ID} lists", r"GET /api/recipes/\1 lists", "the form of a new search lists"),
    Rule(
        "create one with: seqnorm token create NAME --owner OWNER",
        "the operator can create one with: seqnorm token create NAME --owner OWNER",
        "an admin can create one on the page “Tokens”",
    ),
    Rule("Start one with: seqnorm worker", "The operator can start one with: seqnorm worker", ""),
    # Data sets
    Rule(
        r"got no --data\. Give a folder with (.*)",
        r"got no data. Name one of GET /api/data, or upload one with POST /api/data: a .zip of a folder with \1",
        "got no data set. Choose one under “Data set”, or add a file there.",
    ),
    Rule(
        ", unpack (.*), or give your own images with --data",
        r" or unpack \1. Or give your own images as data",
        r" or unpack \1. Or choose your own under “Data set”",
    ),
    Rule(r"Leave out --data", "Leave out data", "Choose “the recipe's own” under “Data set”"),
    Rule(r"\(--data, --model\)", "(data, numbers.model)", "(“Data set”, and model under “Numbers”)"),
    Rule(r"--data(?![\w-])", "data", "“Data set”"),
    Rule(r"Fetch it (again )?with --download", r"The operator can fetch it \1with --download", ""),
    Rule("which --download fetches", "which the operator fetches with --download", ""),
    Rule("Send the file itself as the body.*", r"\g<0>", "Choose another file."),
    # Numbers of a recipe
    Rule(r"--set (\w+)=…", r"numbers.\1", r"\1 under “Numbers”"),
    Rule(rf"--set (\w+)={VALUE}", r"numbers.\1=\2", r"\1=\2 under “Numbers”"),
)


_OF_A_FILE = re.compile(r"^[\s\S]*\brecipes/([\w-]+)\.toml(?:, line \d+)?: [\s\S]*")  # which holds a command
_OF_A_FILE_HERE = (
    r"the file of recipe \1 must describe a recipe: got a fault, which the operator sees with: seqnorm recipes \1"
)


def place_of(request: Request) -> Place:
    """Return where the answer to a request is read."""
    said = request.headers.get(PLACE_HEADER, "")
    if said == Place.COMMAND_LINE:
        return Place.COMMAND_LINE
    return Place.PAGE if said or "text/html" in request.headers.get("accept", "") else Place.API


@lru_cache(1000)
def in_words_of(place: Place, message: str) -> str:
    """Return a message in the words of a place. It is kept: of a thousand searches that wait, most say the same."""
    message = _OF_A_FILE.sub(_OF_A_FILE_HERE, message)
    if place is Place.COMMAND_LINE or ("--" not in message and "seqnorm " not in message):
        return message
    for pattern, replacement in _rules(place):
        message = pattern.sub(replacement, message)
    return message


def reword(view: ViewT, place: Place, *names: str) -> ViewT:
    """Return a view with some of its texts in the words of a place."""
    return view.model_copy(update={name: in_words_of(place, getattr(view, name)) for name in names})


def on_page(message: str | None) -> str:
    """Return a message in the words of the dashboard; for templates."""
    return in_words_of(Place.PAGE, message or "")


@cache
def _rules(place: Place) -> list[tuple[re.Pattern[str], str]]:
    """Return the rules of a place, and one for each flag that fills in a field of a search."""
    rules = [*RULES, *_rules_of_fields()]
    # a flag is none where it is quoted, as what somebody sent
    return [
        (re.compile(rf"(?<!['\"])(?:{rule.pattern})"), (rule.page or rule.api) if place is Place.PAGE else rule.api)
        for rule in rules
    ]


def _rules_of_fields() -> list[Rule]:
    """Return what the flags of a search's fields are called."""
    rules = []
    for field in spec_fields():
        flag, label = f"--{field.name.replace('_', '-')}", field.form_field.label if field.form_field else ""
        rules.append(Rule(rf"{flag} {VALUE}", rf"{field.name}=\1", rf"\1 for “{label}”" if label else ""))
    return rules
