"""Whatever a recipe raises ends in words that can be stored."""

from __future__ import annotations

from typing import Any

import pytest

from search.engine.failures import TimeLimit, describe_failure
from search.vocabulary.states import Cause
from trainers.trial import Diverged, InvalidPoint, ProgramFailed, ProgramOutOfMemory


class Secretive(type):
    """Has no name to print."""

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Secretive):
    """An exception that has no name to print."""


class Silent(Exception):
    """An exception that has nothing to say."""

    def __str__(self) -> str:
        raise RuntimeError("no str")

    __repr__ = __str__


class Leaving(Silent):
    """An exception that ends the process when asked what it is."""

    def __str__(self) -> str:
        raise SystemExit(3)


class Own(BaseException):
    """No Exception."""


class SilentlyDiverged(Silent, Diverged):
    """A divergence that has nothing to say."""


class OutOfMemoryError(Nameless):
    """As torch names it."""


class InvalidGroups(ValueError):
    """As the layers name it."""


def raised(error: BaseException) -> BaseException:
    """Raise an error from a line that is known."""
    try:
        raise error  # the line of the recipe
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ValueError("a fault"), "ValueError: a fault\n"),
        (SystemExit(0), "SystemExit: 0\n"),
        (SystemExit("words"), "SystemExit: words\n"),
        (KeyboardInterrupt(), "KeyboardInterrupt\n"),
        (GeneratorExit(), "GeneratorExit\n"),
        (RecursionError("too deep"), "RecursionError: too deep\n"),
        (Own("mine"), "Own: mine\n"),
        (ExceptionGroup("two", [ValueError("a"), TypeError("b")]), "---\n"),
        (Silent(), "Silent: <exception str() failed>\n"),
        (Leaving(), "Leaving: <exception str() failed>\n"),
        (Nameless("x"), "an exception that cannot be printed\n"),
        (ValueError("a\0b \ud800 c"), "ValueError: a\\x00b \\ud800 c\n"),
    ],
)  # fmt: skip
def test_what_is_raised_is_kept_with_the_line_of_the_recipe(error: BaseException, end: str) -> None:
    outcome = describe_failure(raised(error))
    assert outcome.cause == "raised"
    assert outcome.detail.endswith(end)
    assert "raise error  # the line of the recipe" in outcome.detail
    outcome.detail.encode()


@pytest.mark.parametrize(
    ("error", "cause", "detail"),
    [
        (Diverged("nan at \0 \udfff"), "diverged", "nan at \\x00 \\udfff"),
        (SilentlyDiverged(), "diverged", "an exception whose str() raises"),
        (InvalidPoint("gm must divide the batch: got gm=3."), "refused", "gm must divide the batch: got gm=3."),
        (InvalidGroups("gc must divide 8: got gc=3."), "refused", "gc must divide 8: got gc=3."),
        (TimeLimit("no end after 5 s"), "timeout", "no end after 5 s"),
    ],
)
def test_what_is_said_for_people_is_kept_without_a_traceback(error: BaseException, cause: str, detail: str) -> None:
    outcome = describe_failure(raised(error))
    assert (outcome.cause, outcome.detail) == (cause, detail)


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemoryError(), RuntimeError("can't allocate memory: 8 bytes")])
def test_a_lack_of_memory_is_told_by_kind_and_by_words(error: Exception) -> None:
    assert describe_failure(raised(error)).cause == "out_of_memory"


def test_of_words_without_end_the_beginning_and_the_end_are_kept() -> None:
    detail = describe_failure(raised(ValueError("x" * 10_000_000 + "the end"))).detail
    assert "ValueError: xxx" in detail
    assert detail.endswith("the end\n")
    assert len(detail) < 4100


@pytest.mark.parametrize(("error", "cause"), [(ProgramFailed, Cause.RAISED), (ProgramOutOfMemory, Cause.OUT_OF_MEMORY)])
def test_a_program_that_failed_is_described_in_its_own_words(error: type[ProgramFailed], cause: Cause) -> None:
    said = (
        "the program ended with exit code 1: ValueError: no data\nIts last lines:\nTraceback (most recent call last):"
    )
    outcome = describe_failure(error(said))
    assert (outcome.cause, outcome.detail) == (cause, said)
