"""The description of somebody's own program: its words, where it runs, and where its metric is found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

SPLIT = "{split}"
_LOWER_IS_BETTER = re.compile(
    r"loss|error|perplexity|rmse|(?:^|[^a-z])(?:err|mse|mae|nll|ppl|wer|cer|bpc|bpb|fid)(?:$|[^a-z])", re.IGNORECASE
)


def is_probably_minimized(metric: str) -> bool:
    """Return whether the name of a metric says that lower is better; a wrong mode would choose the worst point."""
    return bool(_LOWER_IS_BETTER.search(metric))


@dataclass(frozen=True, kw_only=True)
class CommandNumber:
    """A number of a command recipe. Its name is a placeholder in the words of the command."""

    name: str
    default: int | float | bool | str
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program that trains one trial, as a person would type it.

    The placeholders ``{gm} {gc} {seed} {split} {folder}`` and the names of its numbers are filled in its words and in
    ``metric_file``; ``{{gm}}`` stands for the text ``{gm}``, and all other braces for themselves.
    """

    words: tuple[str, ...]  #: the program, as an absolute path, and its arguments
    folder: str  #: absolute path of the folder in which it runs
    program: str | None = None  #: what a file calls the program, if each process looks for it on its own PATH
    metric: str = "accuracy"  #: compared between candidates
    mode: Literal["max", "min"] = "max"  #: whether a higher or a lower metric is better
    test_metric: str | None = None  #: read instead of the metric in stage ``test``
    metric_file: str | None = None  #: a CSV, JSON or JSON lines file that the program writes, relative to ``folder``
    pattern: str | None = None  #: regular expression whose only group is the metric in a line of the output
    files: tuple[str, ...] = ()  #: absolute paths of what a result depends on: the script, its modules
    variables: tuple[str, ...] = ()  #: names of environment variables that the program gets besides the usual ones
    numbers: tuple[CommandNumber, ...] = ()
    reads_split: bool = False  #: whether the program itself asks for the split, e.g. by ``trial.split``

    @property
    def measures_test(self) -> bool:
        """Whether stage ``test`` measures on held-out data; otherwise its fresh seeds repeat the validation figure."""
        filled = (*self.words, self.metric_file or "")
        return self.reads_split or self.test_metric is not None or any(SPLIT in text for text in filled)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Command:
        """Return the command whose ``dataclasses.asdict`` was stored as JSON."""
        numbers = [CommandNumber(**{**each, "choices": tuple(each["choices"])}) for each in fields["numbers"]]
        tuples = {name: tuple(fields[name]) for name in ("words", "files", "variables")}
        return cls(**{**fields, **tuples, "numbers": tuple(numbers)})
