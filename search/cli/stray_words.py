"""Refuses words of a person's own program that stand before ``--``, with the line that was meant."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Sequence

from search.vocabulary.errors import InvalidSpec
from trainers.near_misses import near_misses
from trainers.recipe import names

LEAST_COMPARED = 4  # characters of the name of an option


def names_script(word: str) -> bool:
    """Return whether RECIPE is the path of a script: it has a slash or a suffix, as no name of a recipe has."""
    suffix = os.path.splitext(word)[1]
    return word not in names() and (os.sep in word or any(map(str.isalpha, suffix)))  # 0.1 has none


def refuse_stray_words(
    command: str, own: Sequence[str], left: Sequence[str], words: Sequence[str], flags: Iterable[str]
) -> None:
    """Refuse arguments and options of a program among those of ``seqnorm``.

    Args:
        command: e.g. ``tune``, or ``recipes check``.
        own: the words before ``--``.
        left: those of them that are no flags of the command, nor values of one.
        words: those after ``--``.
        flags: of the command.

    Raises:
        InvalidSpec: if a script or a program is among them, with other words.
    """
    positional = [word for word in left if not word.startswith("-")]
    if len(left) < 2 or not positional or positional[0] in names():
        return
    scripts = [word for word in positional if names_script(word)]
    there = [word for word in scripts if os.path.isfile(word)]
    script = next(iter(there or scripts), None)
    if script != positional[0] and shutil.which(positional[0]):
        script = None
    elif script is None:
        return
    kept = [*own]
    for word in left:
        kept.remove(word)  # of equal words it does not matter which
    rest = [*left]
    if script:
        rest.remove(script)
    line = shlex.join(["seqnorm", *command.split(), *([script] if script else []), *kept])
    what = f"what {script} takes" if script else "a command"
    raise InvalidSpec(
        f"{what} must stand after --: got {shlex.join(rest)} before it.{_hint(left, flags)} "
        f"Give: {line} -- {shlex.join([*rest, *words])}"
    )


def _hint(left: Sequence[str], flags: Iterable[str]) -> str:
    """Return which flag of the command may be misspelt; short options are like too many others."""
    options = [word.partition("=")[0].lstrip("-") for word in left if word.startswith("-")]
    known = [flag.removeprefix("--") for flag in flags if flag.startswith("--")]
    found = [near for option in options if len(option) >= LEAST_COMPARED for near in near_misses(option, known)[:1]]
    return f" Did you mean --{found[0]}?" if found else ""
