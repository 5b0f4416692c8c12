"""Reads the fields of a search from a YAML or JSON file, as people write them.

YAML 1.1, which PyYAML reads, makes other things of what was typed: ``1e-3`` is text, ``010`` is 8, ``1:30`` is 90,
``no`` is false, a date is a date, and of a repeated key the last one wins. Here numbers, true, false and null are as
in ``_PLAIN``; everything else is text, and names, tags and notes are text whatever they look like.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any, Never

import yaml

from search.plan.fields import spec_fields
from search.plan.form import InputKind
from search.vocabulary.errors import InvalidSpec

MAX_BYTES = 2**20  # as of a request
MAX_VALUES = 100_000  # of a file
REMEDY = "Give a file with the fields of a search, e.g. recipe, gm and gc."
_ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_TAG = "tag:yaml.org,2002:"
_PLAIN = {  # what a word without quotes is, if it is not text
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9_]{0,999})|0x[0-9a-fA-F]{1,999}",  # Python refuses to read thousands of digits
    "float": r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "null": r"~|null|Null|NULL|",
    "merge": r"<<",
}
_TAGS = {f"{_TAG}{kind}" for kind in (*_PLAIN, "str", "seq", "map")}


def read_file(file: Path) -> dict[str, object]:
    """Read the fields of a search from a file, or from stdin if it is ``-``.

    Raises:
        InvalidSpec: if it cannot be read, or has anything but the fields of one search.
    """
    text = _read_text(file)
    try:
        node = _compose(text)
        if node is None:
            _refuse(f"got {file}, which is empty")
        _check(node, file, {})
        if not isinstance(node, yaml.MappingNode):
            kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
            _refuse(f"got {kind} in line {_line(node)} of {file}")
        found = _as_json(text)
        return found if isinstance(found, dict) and found else _construct(node)
    except yaml.YAMLError as error:
        raise InvalidSpec(_describe(error, file)) from None
    except RecursionError:
        _refuse(f"got lists in lists without end in {file}")


class _Loader(yaml.SafeLoader):
    """PyYAML's loader, with our own rules for what is not text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own attribute


for _kind, _form in _PLAIN.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"(?:{_form})\Z"), None)


def _read_text(file: Path) -> str:
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InvalidSpec(f"-f must name a file of at most {MAX_BYTES:,} bytes: got {file}, with more. {REMEDY}")
        return content.decode(_ENCODINGS.get(content[:2], "utf-8-sig"))
    except OSError as error:
        raise InvalidSpec(f"-f must name a readable file: got {file} ({error.strerror}). {REMEDY}") from None
    except UnicodeDecodeError:
        raise InvalidSpec(f"-f must name a file in UTF-8: got {file}, which is not. Save it as UTF-8.") from None


def _compose(text: str) -> yaml.Node | None:
    """Return the tree of the only document. JSON may be indented with tabs, YAML may not."""
    return yaml.compose(text if _as_json(text) is None else text.replace("\t", " "), Loader=_Loader)


def _as_json(text: str) -> object:
    """Return the value of a JSON text; None if it is none."""
    try:
        return json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except ValueError:
        return None


def _construct(node: yaml.MappingNode) -> dict[str, object]:
    loader = _Loader("")
    for key, value in node.value:
        if key.value in _text_fields():
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                _take_as_typed(each)
    fields: dict[str, object] = loader.construct_document(node)
    return fields


@cache
def _text_fields() -> frozenset[str]:
    kinds = InputKind.TEXT, InputKind.MULTILINE, InputKind.WORDS
    return frozenset(field.name for field in spec_fields() if field.kind in kinds)


def _take_as_typed(node: yaml.Node) -> None:
    """Make text of a number, true or false; nothing stays nothing."""
    if isinstance(node, yaml.ScalarNode) and node.tag != f"{_TAG}null":
        node.tag = f"{_TAG}str"


def _check(node: yaml.Node, file: Path, sizes: dict[int, int | None]) -> int:
    """Check keys and tags of a tree, and take keys as typed; return its size, with what is referred to again.

    Raises:
        InvalidSpec: for a repeated key, a key that is no name, a tag, a tree that holds itself or is too large.
    """
    if id(node) in sizes:
        size = sizes[id(node)]
        if size is None:  # not known yet, as this is inside it
            _refuse(f"got a value that contains itself in line {_line(node)} of {file}")
        return size
    sizes[id(node)] = None
    if node.tag not in _TAGS:
        tag = node.tag.replace(_TAG, "!!")
        raise InvalidSpec(f"-f must name a file without tags: got {tag} in line {_line(node)} of {file}. Leave it out.")
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, file)
    parts = [pair[1] for pair in node.value] if isinstance(node, yaml.MappingNode) else node.value
    size = 1 if isinstance(node, yaml.ScalarNode) else 1 + sum(_check(part, file, sizes) for part in parts)
    if size > MAX_VALUES:
        _refuse(f"got more than {MAX_VALUES:,} values in line {_line(node)} of {file}")
    sizes[id(node)] = size
    return size


def _check_keys(node: yaml.MappingNode, file: Path) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _refuse(f"got a key that is no name in line {_line(key)} of {file}")
        if key.value in lines:
            where = f"lines {lines[key.value]} and {_line(key)} of {file}"
            raise InvalidSpec(f"-f must name a file that gives a field once: got {key.value} in {where}. Leave one.")
        lines[key.value] = _line(key)
        if key.tag != f"{_TAG}merge":
            key.tag = f"{_TAG}str"


def _describe(error: yaml.YAMLError, file: Path) -> str:
    """Describe in one line why a text is not YAML."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    where = f"line {mark.line + 1} of {file}" if mark else str(file)
    if isinstance(error, yaml.composer.ComposerError) and "single document" in str(error.context):
        return f"-f must name a file with one search: got a second one in {where}. Give each a file of its own."
    if r"'\t'" in problem:
        return f"-f must name a file with spaces instead of tabs: got a tab in {where}. Replace it."
    return f"-f must name a YAML or JSON file: got {where} ({' '.join(problem.split())}). {REMEDY}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _refuse(received: str) -> Never:
    raise InvalidSpec(f"-f must name a file with the fields of a search: {received}. Give e.g. recipe, gm and gc.")
