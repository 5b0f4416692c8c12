"""Exit codes are for scripts, which read about them in the README."""

from __future__ import annotations

import re
from pathlib import Path

from search.cli import exit_codes

CODES = {name: code for name, code in vars(exit_codes).items() if name.startswith("EXIT_")}


def test_the_readme_tells_every_exit_code_and_no_other() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    table = readme.partition("| exit code | meaning |")[2].partition("\n\n")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(CODES.values())


def test_no_two_ends_have_the_same_code() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert CODES["EXIT_OK"] == 0
