"""Which files a command is made of, and whether they read the split. Standard library only."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = frozenset(
    [
        ".bash",
        ".cfg",
        ".gin",
        ".ini",
        ".jl",
        ".js",
        ".lua",
        ".m",
        ".pl",
        ".py",
        ".r",
        ".rb",
        ".sh",
        ".toml",
        ".ts",
        ".yaml",
        ".yml",
    ]
)  # of programs and their settings; data and what a program writes have others
LARGEST = 2**20  # bytes that are read of a file
VARIABLE = "SEQNORM_SPLIT"
TRIAL = "trial"  # the function of seqnorm, and what scripts call its result


def find_sources(words: Iterable[str], folder: Path) -> tuple[str, ...]:
    """Return the absolute paths of the programs and settings that the words of a command name, e.g. its script."""
    found, before = [], ""
    for word in words:
        name = f"{word.replace('.', os.sep)}.py" if before == "-m" else word
        path = os.path.abspath(os.path.join(folder, name))
        if os.path.splitext(path)[1].lower() in SUFFIXES and os.path.isfile(path):
            found.append(path)
        before = word
    return tuple(dict.fromkeys(found))


def read_source(path: str) -> str:
    """Return the text of a file, as far as it is text; nothing if it cannot be read."""
    try:
        with open(path, errors="replace") as file:
            return file.read(LARGEST)
    except OSError:
        return ""


def reads_split(text: str) -> bool:
    """Return whether a program asks which split to measure, by ``trial.split`` or its environment."""
    if VARIABLE in text:
        return True
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # another language
        return False
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    trials = {TRIAL} | {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _last_name(node.value) == TRIAL
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "split"
        and id(node) not in called  # text.split(",")
        and _last_name(node.value) in trials
        for node in ast.walk(tree)
    )


def _last_name(node: ast.expr) -> str:
    """Return ``trial`` of ``trial``, ``self.trial`` and ``seqnorm.trial()``."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return getattr(node, "attr", getattr(node, "id", ""))
