"""What is refused is said in the words of the place where it is read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from starlette.requests import Request

from search.vocabulary.places import Place
from service.wording import in_words_of, place_of
from tests.service.conftest import Site

ROOT = Path(__file__).parents[2]
WORDS_OF_COMMANDS = re.compile(r"(?<![\w'-])--[a-z][a-z-]+|\bseqnorm [a-z][a-z-]+")
NOT_SERVED = {  # what no client of a service reads, with who reads it
    "search/cli": "the command line",
    "search/client.py": "the command line",
    "search/landscape": "the command line",
    "search/plan/commit.py": "nobody: these are flags of git",
    "search/private_files.py": "who starts a program",
    "search/settings.py": "who starts a program",
    "search/store/binding.py": "whoever goes to the host that a search is bound to",
    "search/store/backup.py": "the command line",
    "search/store/database.py": "who starts a program",
    "search/store/faults.py": "who starts a program; a service says only that the database does not respond",
    "search/store/opening.py": "who starts a program",
    "search/store/schema.py": "who starts a program",
    "service/__main__.py": "who starts the service",
    "service/server.py": "who starts the service",
    "service/worker_process.py": "nobody: it starts a program",
    "service/accounts/__main__.py": "the command line",
    "service/api/health.py": "the operator's monitoring",
    "service/pages/routes.py": "nobody: it builds a command to copy",
    "service/wording.py": "nobody: these are the rules",
    "trainers/__main__.py": "the command line",
    "trainers/assignments.py": "the command line",
    "trainers/commands/analysis.py": "the command line",
    "trainers/commands/endings.py": "whoever has written the command",
    "trainers/commands/files.py": "who writes the file of a recipe",
    "trainers/commands/number_fields.py": "who writes the file of a recipe",
    "trainers/commands/placeholders.py": "who writes a command",
    "trainers/commands/recipe_file.py": "who writes the file of a recipe",
    "trainers/commands/toml_table.py": "who writes the file of a recipe",
    "trainers/weights.py": "who reads weights in Python",
}
FOR_THE_OPERATOR = re.compile(r"[Tt]he operator [^.;]*|curl --data-binary|ray start --\w+|--gcs-address=")


@cache
def messages() -> tuple[tuple[str, str], ...]:
    """Return the texts of the program that name a flag or a command, with where they are."""
    return tuple(find_messages())


def find_messages() -> Iterator[tuple[str, str]]:
    """Go over the texts of the program that name a flag or a command, with where they are."""
    for package in ("trainers", "search", "service"):
        for file in sorted((ROOT / package).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if name.startswith(tuple(NOT_SERVED)):
                continue
            tree = ast.parse(file.read_text())
            inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
            docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if id(node) not in inner | docs and (text := text_of(node)) and WORDS_OF_COMMANDS.search(text):
                    yield f"{name}:{node.lineno}", text  # type: ignore[attr-defined]


def text_of(node: ast.AST) -> str:
    """Return a text of the program, with a word in place of each value."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "7" for part in node.values)  # type: ignore[misc]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("place", [Place.API, Place.PAGE])
def test_no_message_names_a_flag_or_a_command_where_it_cannot_be_used(place: Place) -> None:
    found = messages()
    assert len(found) > 30
    said = [(where, in_words_of(place, text)) for where, text in found]
    assert [each for each in said if WORDS_OF_COMMANDS.search(FOR_THE_OPERATOR.sub("", each[1]))] == []


@pytest.mark.parametrize(
    ("message", "api", "page"),
    [
        ("Give --gpus 2.", "Give gpus=2.", "Give 2 for “GPUs of a trial”."),
        ("Give --trial-timeout 0.5.", "Give trial_timeout=0.5.", "Give 0.5 for “Seconds a trial may take”."),
        ("smaller (--set batch=…).", "smaller (numbers.batch).", "smaller (batch under “Numbers”)."),
        ("or --set lr=1e-3.", "or numbers.lr=1e-3.", "or lr=1e-3 under “Numbers”."),
        ("Leave out --data.", "Leave out data.", "Choose “the recipe's own” under “Data set”."),
        (
            "Pause it first: seqnorm pause a1b2",
            "Pause it first: POST /api/searches/a1b2/pause",
            "Pause it first, with the button “Pause” on its page",
        ),
        ("no recipe is named '--data'.", "no recipe is named '--data'.", "no recipe is named '--data'."),
        ("use curl --data-binary", "use curl --data-binary", "use curl --data-binary"),
    ],
)
def test_flags_and_commands_have_the_names_of_the_place(message: str, api: str, page: str) -> None:
    assert in_words_of(Place.API, message) == api
    assert in_words_of(Place.PAGE, message) == page
    assert in_words_of(Place.COMMAND_LINE, message) == message


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        ({}, Place.API),
        ({"accept": "application/json"}, Place.API),
        ({"x-requested-with": "XMLHttpRequest"}, Place.PAGE),
        ({"accept": "text/html,*/*"}, Place.PAGE),
        ({"x-requested-with": "seqnorm-command-line"}, Place.COMMAND_LINE),
    ],
)
def test_a_request_says_where_its_answer_is_read(headers: dict[str, str], place: Place) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert place_of(Request({"type": "http", "headers": raw})) is place


def test_a_search_without_its_data_set_is_refused_in_the_words_of_each_place(site: Site) -> None:
    own = {"recipe": "images", "gm": [1], "gc": [1]}
    said = {}
    for place in Place:
        headers = {"X-Requested-With": place}
        refused = site.api.post("/api/searches/plan", json=own, headers=headers).json()["refused"]
        assert [each["value"] for each in refused] == ["data"]
        said[place] = site.api.post("/api/searches", json=own, headers=headers).json()["detail"]
        assert refused[0]["reason"] == said[place], "before it is submitted and after"
    own_words = "this recipe trains on your own images: got"
    assert said[Place.COMMAND_LINE].startswith(f"{own_words} no --data. Give a folder with DIR/CLASS/*")
    assert said[Place.API].startswith(f"{own_words} no data. Name one of GET /api/data, or upload one with POST")
    assert said[Place.PAGE].startswith(f"{own_words} no data set. Choose one under “Data set”, or add a file there.")


def test_recipes_and_reasons_to_wait_are_told_in_the_words_of_each_place(site: Site) -> None:
    for place, title, why in (
        (Place.API, "(data, numbers.model)", "The operator can start one with: seqnorm worker"),
        (Place.PAGE, "(“Data set”, and model under “Numbers”)", "The operator can start one with: seqnorm worker"),
        (Place.COMMAND_LINE, "(--data, --model)", "Start one with: seqnorm worker"),
    ):
        headers = {"X-Requested-With": place}
        assert title in site.api.get("/api/recipes/images", headers=headers).json()["title"]
        waiting = site.api.get("/api/cluster", headers=headers).json()["waiting"]
        assert f"no worker is running. {why}" in {each["why"] for each in waiting}


def test_a_page_that_is_not_there_says_what_to_click(site: Site) -> None:
    page = site.api.get("/searches/nowhere", headers={"Accept": "text/html"})
    assert "no search has the id &#39;nowhere&#39;. Click “Searches” for the list" in page.text


@pytest.mark.parametrize("place", [Place.API, Place.PAGE])
def test_the_words_of_a_place_are_sentences(place: Place) -> None:
    said = [(where, in_words_of(place, text)) for where, text in messages()]
    assert [each for each in said if re.search(r"\bwith:?, with\b|(?<!e\.g)\. [a-z]", each[1])] == []


@pytest.mark.parametrize(
    ("message", "api", "page"),
    [
        (
            "got a1b2. Go on with: seqnorm resume a1b2",
            "got a1b2. Go on with: POST /api/searches/a1b2/resume",
            "got a1b2. Go on with the button “Resume” on its page",
        ),
        (
            "got 99. seqnorm recipes planted lists the names.",
            "got 99. GET /api/recipes/planted lists the names.",
            "got 99. The form of a new search lists the names.",
        ),
        (
            "Use lr; seqnorm recipes planted lists them all.",
            "Use lr; GET /api/recipes/planted lists them all.",
            "Use lr; the form of a new search lists them all.",
        ),
        (
            "Fetch it with --download, unpack a.tar.gz in b, or give your own images with --data.",
            "The operator can fetch it with --download or unpack a.tar.gz in b. Or give your own images as data.",
            "The operator can fetch it with --download or unpack a.tar.gz in b. Or choose your own under “Data set”.",
        ),
        (
            "Fetch it again with --download, or unpack a.tar.gz in b again.",
            "The operator can fetch it again with --download, or unpack a.tar.gz in b again.",
            "The operator can fetch it again with --download, or unpack a.tar.gz in b again.",
        ),
    ],
)
def test_what_replaces_a_command_fits_into_its_sentence(message: str, api: str, page: str) -> None:
    assert (in_words_of(Place.API, message), in_words_of(Place.PAGE, message)) == (api, page)
