"""Types that say something: few functions return ``Any``, and closed sets are written once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.vocabulary.states import Cause, Status, TrialState

ROOT = Path(__file__).parents[1]
MOST_ANY = 0.03  # of the functions of a package: those at the seams to untyped libraries
CLOSED = {*Status, *TrialState, *Cause}


def trees(package: str) -> dict[Path, ast.Module]:
    files = [file for file in (ROOT / package).rglob("*.py") if "migrations" not in file.parts]
    return {file: ast.parse(file.read_text()) for file in files}


def aliases_of_any(modules: dict[Path, ast.Module]) -> set[str]:
    """Name what stands for a type with ``Any`` in it, wherever it is written."""
    found = {"Any"}
    while True:
        more = {
            target.id
            for tree in modules.values()
            for node in tree.body
            if isinstance(node, ast.Assign) and found & names(node.value) and not isinstance(node.value, ast.Call)
            for target in node.targets
            if isinstance(target, ast.Name)
        } - found
        if not more:
            return found
        found |= more


def names(node: ast.AST | None) -> set[str]:
    """Name what stands in an annotation; one that is text is read too."""
    if node is None:
        return set()
    inside = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value.isidentifier():
            inside.add(each.value)
    return inside


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("package", ["search", "service"])
def test_few_functions_return_any(package: str) -> None:
    modules = trees(package)
    aliases = aliases_of_any(trees("search") | trees("service"))
    every = [(file, function) for file, tree in modules.items() for function in functions(tree)]
    untyped = [
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}"
        for file, function in every
        if names(function.returns) & aliases
    ]
    share = len(untyped) / len(every)
    assert share <= MOST_ANY, f"{share:.1%} of {len(every)} functions of {package} return Any: {', '.join(untyped)}"


@pytest.mark.parametrize("package", ["search", "service"])
def test_statuses_states_and_causes_are_members_where_code_compares_or_lists_them(package: str) -> None:
    written = [
        f"{file.relative_to(ROOT)}:{node.lineno} {', '.join(sorted(words))}"
        for file, tree in trees(package).items()
        if file.name != "states.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare | ast.Tuple | ast.Set | ast.List) and (words := _closed(node))
    ]
    assert not written, f"write the members of search.vocabulary.states: {written}"


def _closed(node: ast.AST) -> set[str]:
    """Return the words of a closed set that a comparison, or a list of nothing else, has as plain text."""
    if isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.Tuple | ast.Set | ast.List):
        parts = node.elts
    else:
        return set()
    words = {each.value for each in parts if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    closed = {word for word in words if word in CLOSED}
    return closed if isinstance(node, ast.Compare) or (len(closed) > 1 and closed == words) else set()
