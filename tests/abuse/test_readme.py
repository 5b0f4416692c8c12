"""The table of scenarios names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = re.findall(r"^\| (A\d+) \| (.+?) \| (.+) \|$", Path(__file__).with_name("README.md").read_text(), re.M)


def test_every_scenario_has_a_row() -> None:
    assert [id for id, *_ in ROWS] == [f"A{number}" for number in range(1, 30)]


def test_every_scenario_is_covered_by_tests_that_exist() -> None:
    for id, _, cell in ROWS:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
        assert named or id == "A28", f"{id} names no test"
        for file, test in named:
            tree = ast.parse((TESTS / file).read_text())
            assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{id}: {test}"


def test_every_test_of_the_suite_covers_a_scenario() -> None:
    files = {file.name for file in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
    assert files == {Path(file).name for *_, cell in ROWS for file in re.findall(r"`abuse/(\w+\.py)::", cell)}
