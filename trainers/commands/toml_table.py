"""A table of a TOML file, whose values are taken by key and type; what is wrong is refused with file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from trainers.commands.files import RecipeFileError
from trainers.near_misses import did_you_mean

Types = tuple[type, ...]
TEXT: Types = (str,)
TEXTS: Types = (list,)
FLAG: Types = (bool,)
WHOLE: Types = (int,)
LIMIT: Types = (int, float)
SCALAR: Types = (int, float, bool, str)
TABLE: Types = (dict,)
_WORDS = {
    TEXT: "text",
    TEXTS: "a list of texts",
    FLAG: "true or false",
    WHOLE: "a whole number",
    LIMIT: "a number",
    SCALAR: "a number, true, false or text",
    TABLE: "a table",
    (str, list): "text or a list of texts",
}
MAX_SHOWN = 200  # characters of a received value
MAX_LINE = 200  # characters of a text of one line
_PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_HEADER = re.compile(r"\s*\[+([^\[\]]+)\]")
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")


@dataclass(frozen=True)
class Table:
    """A table, with where it stands."""

    file: Path
    text: str  #: of the whole file
    values: Mapping[str, Any]
    keys: tuple[str, ...] = ()  #: those that lead to it

    @classmethod
    def parse(cls, file: Path, text: str) -> Table:
        """Parse a file.

        Raises:
            RecipeFileError: if it is no TOML.
        """
        try:
            return cls(file, text, tomllib.loads(text))
        except RecursionError:
            fault, line = "arrays that are nested too deep", None
        except ValueError as error:  # of TOML, or a number with thousands of digits
            found = re.fullmatch(r"(.*?)(?: \(at (?:line (\d+), column \d+|end of document)\))?", str(error), re.DOTALL)
            fault, line = (found[1], found[2]) if found else (str(error), None)
        raise RecipeFileError(
            f"{file}{f', line {line}' if line else ''}: a recipe's file must be TOML: got a fault, {fault!r}. "
            'Write names with values, e.g. command = "python train.py --gm {gm}"'
        )

    def require_known(self, known: Iterable[str]) -> None:
        """Refuse keys that are not known."""
        names = tuple(known)
        for key in self.values:
            if key not in names:
                remedy = f"Known: {', '.join(names)}.{did_you_mean(key, names)}"
                self.refuse(key, f"{self.name(key)} is not a field of a recipe's file", remedy)

    def take(self, key: str, types: Types, example: str) -> Any:
        """Return a value; None if there is none."""
        value = self.values.get(key)
        if value is None:
            return None
        texts = value if isinstance(value, list) else [value]
        if type(value) not in types or (isinstance(value, list) and not all(isinstance(text, str) for text in texts)):
            self.refuse(key, f"{self.name(key)} must be {_WORDS[types]}", f"Write e.g. {key} = {example}")
        if any("\0" in text for text in texts if isinstance(text, str)):
            self.refuse(key, f"{self.name(key)} must hold no zero bytes", "Leave them out.")
        return value

    def take_line(self, key: str, example: str) -> str | None:
        """Return a text of one line; None if there is none."""
        text: str | None = self.take(key, TEXT, example)
        if text is not None and not (text.strip() and text.isprintable() and len(text) <= MAX_LINE):
            rule = f"{self.name(key)} must be one line of 1 to {MAX_LINE} characters"
            self.refuse(key, rule, f"Write e.g. {key} = {example}")
        return text

    def tables(self, key: str) -> dict[str, Table]:
        """Return the tables of a table; in place of one, a value is that of its key ``default``."""
        found = self.take(key, TABLE, "{}") or {}
        return {
            name: Table(
                self.file,
                self.text,
                value if isinstance(value, dict) else {"default": value},
                (*self.keys, key, name),
            )
            for name, value in found.items()
        }

    def name(self, key: str = "") -> str:
        """Return the name of the table or of one of its keys, as messages have it."""
        return ".".join(filter(None, (*self.keys, key)))

    def refuse(self, key: str, rule: str, remedy: str, received: object = None) -> NoReturn:
        """Raise that the value of a key is wrong.

        Raises:
            RecipeFileError: with the rule, what was received, by default the value, and the remedy.
        """
        value = self.values.get(key) if received is None else received
        shown = "nothing" if value is None else repr(value)[:MAX_SHOWN]
        raise RecipeFileError(f"{self.where(key)}: {rule}: got {shown}. {remedy}")

    def where(self, key: str = "") -> str:
        """Return the file, and the line of the table or of one of its keys, if it is known."""
        line = self._find_line(tuple(filter(None, (*self.keys, key))))
        return f"{self.file}{f', line {line}' if line else ''}"

    def _find_line(self, keys: tuple[str, ...]) -> int | None:
        """Return the line on which a key stands, or else the table that it belongs to."""
        header: tuple[str, ...] = ()
        lines: dict[tuple[str, ...], int] = {}
        for number, line in enumerate(self.text.splitlines(), 1):
            if found := _HEADER.match(line):
                header = _split(found[1])
                lines.setdefault(header, number)
            elif found := _KEY.match(line):
                lines.setdefault((*header, *_split(found[1])), number)
        return next((lines[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in lines), None)


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
