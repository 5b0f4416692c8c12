"""``seqnorm landscape``: what is refused. What is drawn is in tests/search/landscape/test_trainings.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.landscape import run_landscape
from search.landscape.trainings import LandscapeRequest
from search.vocabulary.errors import InvalidSpec
from trainers.recipe import find


def landscape_request(tmp_path: Path, recipe: str, *gm: int) -> LandscapeRequest:
    return LandscapeRequest(
        recipe=find(recipe), gm=gm, overrides={}, seed=0, data=None, home=tmp_path / "home", gradients=False
    )


@pytest.mark.parametrize(
    ("recipe", "gm", "said"),
    [
        ("planted", 4, "a landscape needs a recipe with the loop of this package: got planted"),
        ("digits-mlp", 3, "gm must divide the batch: got gm=3"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_makes_no_folder(tmp_path: Path, recipe: str, gm: int, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        run_landscape(landscape_request(tmp_path, recipe, gm), tmp_path / "out", 1, json=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidSpec, match=r"--out must be a folder that can be written: got .*/file/out"):
        run_landscape(landscape_request(tmp_path, "digits-mlp", 4), tmp_path / "file" / "out", 1, json=False)
