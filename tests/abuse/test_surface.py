"""What there is to attack: no address to fetch, no code to load, no object to unpickle (A16, A17, A18, A22)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.abuse.target import Target

ROOT = Path(__file__).parents[2]
SOURCES = [file for package in ("search", "service", "trainers", "seqnorm") for file in (ROOT / package).rglob("*.py")]
RUNS_CODE = {"pickle", "cloudpickle", "marshal", "shelve", "dill", "joblib", "CmaEsSampler", "eval", "exec"}


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Go over a schema and all in it."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts(part)


def test_no_route_takes_an_address_to_fetch(target: Target) -> None:
    document = target.ask("admin", "GET", "/api/openapi.json").json()
    assert "paths" in document, document
    assert not [part for part in parts(document) if part.get("format") in ("uri", "uri-reference", "binary-url")]
    names = {parameter["name"] for part in parts(document["paths"]) for parameter in part.get("parameters", ())}
    for part in parts(document["components"]["schemas"]):
        names |= set(part.get("properties", {}) if isinstance(part.get("properties"), dict) else {})
    assert not [name for name in names if any(word in name.lower() for word in ("url", "uri", "href", "callback"))]


@pytest.mark.parametrize(
    "name", ["os:system", "os.system", "builtins:exec", "planted:run", "../planted", "planted\\n", "trainers.recipe"]
)
def test_a_recipe_is_a_name_of_what_the_operator_installed(target: Target, name: str) -> None:
    body = {"recipe": name, "gm": [1], "gc": [1]}
    for path in ("/api/searches", "/api/searches/plan"):
        refused = target.ask("admin", "POST", path, json=body)
        assert refused.status == 422
        assert "recipe" in refused.json()["detail"]


def names_in(file: Path) -> set[str]:
    """Return what a file imports, calls and refers to, by the last part of each name."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                found.add(function.id)
            elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                found.add(f"{function.value.id}.{function.attr}")
    return found


def test_nothing_is_unpickled_or_run_from_text() -> None:
    assert len(SOURCES) > 100
    found = {str(file.relative_to(ROOT)): names_in(file) & RUNS_CODE for file in SOURCES}
    assert {file: names for file, names in found.items() if names} == {}


def test_weights_alone_are_read_from_files_of_torch() -> None:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("weights_only") == "True", f"{file}:{node.lineno}"
