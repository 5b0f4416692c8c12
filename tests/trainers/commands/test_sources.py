"""The files that a command is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.commands.sources import find_sources, reads_split


def test_a_command_is_made_of_the_programs_and_settings_that_it_names(tmp_path: Path) -> None:
    for name in ("train.py", "model.yaml", "data.npz", "package/fit.py", "log.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    words = ["/usr/bin/python", "train.py", "--model", "model.yaml", "--data", "data.npz", "--log", "log.csv"]
    words += ["--again", "./train.py", "-m", "package.fit", "absent.py", "x" * 5000, "."]
    found = [str(Path(path).relative_to(tmp_path)) for path in find_sources(words, tmp_path)]
    assert found == ["train.py", "model.yaml", "package/fit.py"]


@pytest.mark.parametrize(
    "text",
    [
        "measure(trial.split)",
        "run = seqnorm.trial()\nmeasure(run.split)",
        "measure(self.trial.split == 'test')",
        "print(seqnorm.trial().split)",
        "echo $SEQNORM_SPLIT |",
    ],
)
def test_a_program_that_asks_which_split_to_measure_reads_it(text: str) -> None:
    assert reads_split(text)


@pytest.mark.parametrize(
    "text",
    [
        "trial.split(',')",
        "measure(args.split)",
        "trial = seqnorm.trial()\ntrial.report(accuracy=1)\nline.split()",
        "def broken(:\n trial.split",
        "\0",
    ],
)
def test_other_words_that_are_called_split_are_none_of_ours(text: str) -> None:
    assert not reads_split(text)
