"""The list of recipes, and one with its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.recipes import list_recipes
from search.settings import Settings
from search.vocabulary.errors import InvalidSpec
from tests.search.program import run, seqnorm, seqnorm_json
from trainers.commands.files import find_file
from trainers.recipe import names

TEXT = """
title = "our photos"
command = "sh {gm} {lr}"
[numbers]
lr = {default = 0.1, unit = "a step", at_least = 0}
"""


def write(home: Path, name: str, text: str) -> None:
    find_file(home, name).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    find_file(home, name).write_text(text)


def test_recipes_are_listed_and_one_of_them_with_its_numbers(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    list_recipes(settings, None, False)
    listed = capsys.readouterr().out
    assert "planted  a known response surface; trains nothing\n" in listed
    assert "samples per step" not in listed
    list_recipes(settings, "planted", False)
    assert "  batch               64                     samples per step, at least 1\n" in capsys.readouterr().out
    with pytest.raises(InvalidSpec, match=r"no recipe is named 'nosuch'\. Known: .*planted"):
        list_recipes(settings, "nosuch", False)


def test_files_are_listed_with_what_is_wrong_with_them(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    write(settings.home, "photos", TEXT)
    write(settings.home, "broken", "batch = 3")
    fault = f"{find_file(settings.home, 'broken')}: command is required: got nothing. Write e.g. command = "
    list_recipes(settings, None, False)
    printed = capsys.readouterr()
    assert "\nphotos  our photos (a file)\nplanted  " in printed.out
    assert "broken" not in printed.out
    assert printed.err.startswith(f"warning: {fault}")
    list_recipes(settings, "photos", False)
    shown = capsys.readouterr()
    assert shown.out == (
        "photos  our photos (a file)\n  lr                  0.1                    a step, at least 0\n"
    )
    assert shown.err == ""
    with pytest.raises(InvalidSpec) as caught:
        list_recipes(settings, "broken", False)
    assert str(caught.value).startswith(fault)


def test_the_word_after_recipes_is_a_command_or_the_name_of_one(tmp_path: Path) -> None:
    write(tmp_path, "photos", TEXT)
    shown = seqnorm(tmp_path, "recipes", "photos").stdout
    assert shown == seqnorm(tmp_path, "recipes", "show", "photos").stdout
    for words in (["recipes", "photos", "--json"], ["recipes", "--json", "photos"], ["--json", "recipes", "photos"]):
        assert run(*words, "--home", str(tmp_path)).stdout.startswith(
            '[{"name":"photos","title":"our photos","kind":"file"'
        )
    assert [recipe["name"] for recipe in seqnorm_json(tmp_path, "recipes")] == sorted([*names(), "photos"])
    assert seqnorm(tmp_path, "recipes", "photo", expect=2).stderr.endswith(" Did you mean photos?\n")


@pytest.mark.parametrize("line", ["seqnorm recipes pho", "seqnorm recipes show pho", "seqnorm tune pho"])
def test_a_shell_completes_the_recipes_of_files(line: str, tmp_path: Path) -> None:
    write(tmp_path, "photos", TEXT)
    done = run(
        SEQNORM_HOME=str(tmp_path),
        _SEQNORM_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(line.split()) - 1),
    )
    assert done.stdout.split() == ["photos"]
