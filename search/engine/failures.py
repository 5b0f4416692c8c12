"""Converts what a recipe raised to an outcome. Exceptions are foreign code: their ``str`` or name may raise, too."""

from __future__ import annotations

import traceback

from search.vocabulary.outcome import Outcome, printable
from search.vocabulary.states import Cause
from trainers.trial import Diverged, InvalidPoint, ProgramFailed


class TimeLimit(Exception):
    """A trial took longer than it may."""


IN_ITS_OWN_WORDS: dict[type[Exception], Cause] = {  # whose text is for people, without a traceback
    Diverged: Cause.DIVERGED,
    InvalidPoint: Cause.REFUSED,
    TimeLimit: Cause.TIMEOUT,
}
INVALID_GROUPS = "InvalidGroups"  # of seqnorm.checks

HEAD_CHARACTERS, TAIL_CHARACTERS = 1000, 3000  # of a long detail; the middle is left out


def describe_failure(error: BaseException) -> Outcome:
    """Return the outcome of a trial that raised."""
    for kind, cause in IN_ITS_OWN_WORDS.items():
        if issubclass(type(error), kind):
            return Outcome(cause=cause, detail=_shorten(_text_of(error)))
    if _is_refused_by_layers(error):
        return Outcome(cause=Cause.REFUSED, detail=_shorten(_text_of(error)))
    cause = Cause.OUT_OF_MEMORY if is_out_of_memory(error) else Cause.RAISED
    is_ours = not issubclass(type(error), ProgramFailed)  # whose traceback is that of the program, in its last lines
    return Outcome(cause=cause, detail=_shorten(_traceback_of(error) if is_ours else _text_of(error)))


def _is_refused_by_layers(error: BaseException) -> bool:
    """Recognize the layers' own error by its name: importing it would import torch."""
    kinds = (type.__dict__["__name__"].__get__(kind) for kind in type.mro(type(error)))
    return INVALID_GROUPS in kinds


def is_out_of_memory(error: BaseException) -> bool:
    """Recognize the errors of Python, CUDA and torch's CPU allocator."""
    kinds = type.mro(type(error))
    named = any(kind is MemoryError or type.__dict__["__name__"].__get__(kind) == "OutOfMemoryError" for kind in kinds)
    return named or "can't allocate memory" in _text_of(error)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "an exception whose str() raises"


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:
        return "".join([*traceback.format_tb(error.__traceback__), "an exception that cannot be printed\n"])


def _shorten(text: str) -> str:
    text = printable(text)
    if len(text) <= HEAD_CHARACTERS + TAIL_CHARACTERS:
        return text
    return f"{text[:HEAD_CHARACTERS]}\n[…]\n{text[-TAIL_CHARACTERS:]}"
