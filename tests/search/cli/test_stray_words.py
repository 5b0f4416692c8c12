"""Words of a person's own program on the wrong side of ``--``."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.flags import TuneCommand
from search.vocabulary.errors import InvalidSpec
from tests.search.cli.test_flags import given


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["python3", "train.py", "--gm", "1,2"],
            "a command must stand after --: got python3 train.py before it. "
            "Give: seqnorm tune --gm 1,2 -- python3 train.py",
        ),
        (
            ["train.py", "--gm", "1,2", "--lr", "0.1"],
            "what train.py takes must stand after --: got --lr 0.1 before it. "
            "Give: seqnorm tune train.py --gm 1,2 -- --lr 0.1",
        ),
        (
            ["train.py", "data", "--sets", "x y", "--seeds=2", "--", "--gm", "{gm}"],
            "what train.py takes must stand after --: got data --sets 'x y' before it. Did you mean --set? "
            "Give: seqnorm tune train.py --seeds=2 -- data --sets 'x y' --gm '{gm}'",
        ),
        (
            ["--to", "new/w.pt", "fit.py", "--gc", "1"],
            "what fit.py takes must stand after --: got --to new/w.pt before it. "
            "Give: seqnorm tune fit.py --gc 1 -- --to new/w.pt",
        ),
    ],
)
def test_they_are_refused_with_the_line_that_was_meant(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fit.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSpec) as caught:
        given(TuneCommand, *words)
    assert str(caught.value) == said


def test_misspelt_flags_beside_a_recipe_are_none_of_a_program() -> None:
    for words in (["digits-mlp", "--seedz", "1"], ["digits-mlp", "more"], ["nosuch", "0.1"], ["--seedz", "1"]):
        with pytest.raises(Exception, match=r"No such option|unexpected extra argument"):
            given(TuneCommand, *words)
