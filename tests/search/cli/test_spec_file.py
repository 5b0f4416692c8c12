"""Files with the fields of a search, as people write them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from search.cli.spec_file import MAX_BYTES, read_file
from search.vocabulary.errors import InvalidSpec

START = "recipe: planted\ngm: [1, 2]\ngc: [4]\n"
FIELDS = {"recipe": "planted", "gm": [1, 2], "gc": [4]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "search.yaml"


def read(file: Path, content: str | bytes) -> dict[str, Any]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_file(file)


def refused(file: Path, content: str | bytes) -> str:
    with pytest.raises(InvalidSpec) as caught:
        read(file, content)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(file), "FILE")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("tolerance: 1e-3", 0.001),
        ("tolerance: 2E-4", 0.0002),
        ("tolerance: .5", 0.5),
        ("priority: -3", -3),
        ("priority: 1_000", 1000),
        ("priority: 0x10", 16),
        ("trial_timeout: null", None),
        ("trial_timeout: 1:30", "1:30"),
        ("priority: 010", "010"),
        ("strategy: no", "no"),
        ("strategy: 2026-11-26", "2026-11-26"),
        ("strategy: =", "="),
        ("strategy: 1e2a", "1e2a"),
        ("strategy: .1two3", ".1two3"),
        ("strategy: .NaNa", ".NaNa"),
        ("name: 010", "010"),
        ("name: 1e-3", "1e-3"),
        ("name: true", "true"),
        ("name: 2026", "2026"),
        ("note: 1.10", "1.10"),
        ("tags: [2026, v1.10, on, 1.10]", ["2026", "v1.10", "on", "1.10"]),
        ("recipe_: yes", "yes"),
        ("numbers: {augment: on, batch: 64, norm: off}", {"augment": "on", "batch": 64, "norm": "off"}),
        (
            "variants: {no: {}, on: {}, null: {}, 1: {}, 1e-3: {}}",
            {"no": {}, "on": {}, "null": {}, "1": {}, "1e-3": {}},
        ),
    ],
)
def test_numbers_are_numbers_and_words_are_what_was_typed(file: Path, line: str, value: object) -> None:
    read_fields = read(file, f"{START}{line}\n")
    assert read_fields == {**FIELDS, line.partition(":")[0]: value}
    assert repr(read_fields[line.partition(":")[0]]) == repr(value), "1 is not 1.0, nor True"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + START.encode(),
        START.replace("\n", "\r\n").encode(),
        START.encode("utf-16"),
        f"---\n{START}...\n".encode(),
        f"# a comment\n\n{START}".encode(),
        b'{"recipe": "planted", "gm": [1, 2], "gc": [4]}',
        b'{\n\t"recipe":"planted",\n\t"gm":[1, 2],\n\t"gc":[4]\n}\n',
        b'\xef\xbb\xbf{"recipe": "planted",\r\n "gm": [1, 2], "gc": [4]}',
    ],
)
def test_marks_line_ends_and_json_make_no_difference(file: Path, content: bytes) -> None:
    assert read(file, content) == FIELDS


def test_lines_of_a_note_end_alike_whatever_wrote_the_file(file: Path) -> None:
    assert read(file, f"{START}note: |\n  one\n  two\n".replace("\n", "\r\n"))["note"] == "one\ntwo\n"


def test_json_has_its_own_escapes(file: Path) -> None:
    assert read(file, r'{"name": "\ud83d\ude00\/", "tolerance": 1e-3}') == {"name": "😀/", "tolerance": 0.001}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{START}gm: [8]\n", "a file that gives a field once: got gm in lines 2 and 4 of FILE. Leave one."),
        (f"{START}'gm': [8]\n", "a file that gives a field once: got gm in lines 2 and 4 of FILE. Leave one."),
        (
            f"{START}numbers:\n  batch: 1\n  epochs: 2\n  batch: 3\n",
            "a file that gives a field once: got batch in lines 5 and 7 of FILE. Leave one.",
        ),
        (
            '{\n\t"gm": [1],\n\t"gc": [1],\n\t"gm": [2]\n}',
            "a file that gives a field once: got gm in lines 2 and 4 of FILE. Leave one.",
        ),
        ("recipe: planted\nnumbers:\n\tbatch: 1\n", "a file with spaces instead of tabs: got a tab in line 3 of FILE."),
        ("", "a file with the fields of a search: got FILE, which is empty. Give e.g. recipe, gm and gc."),
        ("# nothing yet\n", "a file with the fields of a search: got FILE, which is empty."),
        ("- recipe: planted\n", "a file with the fields of a search: got a list in line 1 of FILE."),
        ('[{"recipe": "planted"}]', "a file with the fields of a search: got a list in line 1 of FILE."),
        ("planted\n", "a file with the fields of a search: got a single value in line 1 of FILE."),
        (f"{START}---\n{START}", "a file with one search: got a second one in line 4 of FILE."),
        (f"{START}note: !mine x\n", "a file without tags: got !mine in line 4 of FILE. Leave it out."),
        (f"{START}note: !!binary aGk=\n", "a file without tags: got !!binary in line 4 of FILE. Leave it out."),
        ("!!python/object/apply:os.system [ls]", "a file without tags: got !!python/object/apply:os.system in line 1"),
        (f"{START}note: *x\n", "a YAML or JSON file: got line 4 of FILE (found undefined alias 'x')."),
        (f"{START}numbers: &n {{a: *n}}\n", "a file with the fields of a search: got a value that contains itself in"),
        (f"{START}? [a]\n: 1\n", "a file with the fields of a search: got a key that is no name in line 4 of FILE."),
        ("gm: [1", "a YAML or JSON file: got line 1 of FILE (expected ',' or ']', but got '<stream end>')."),
        (
            "recipe: planted\n gm: [1]\n",
            "a YAML or JSON file: got line 2 of FILE (mapping values are not allowed here)",
        ),
        ("[" * 20_000, "a file with the fields of a search: got lists in lists without end in FILE."),
        (b"name: caf\xe9\n", "a file in UTF-8: got FILE, which is not. Save it as UTF-8."),
        (b"name: a\x00b\n", "a YAML or JSON file: got FILE (special characters are not allowed)."),
        (b"#" * (MAX_BYTES + 1), "a file of at most 1,048,576 bytes: got FILE, with more."),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_describes_no_search_is_refused_in_a_sentence_with_the_line(
    file: Path, content: str | bytes, said: str
) -> None:
    assert refused(file, content).startswith(f"-f must name {said}")


def test_references_that_multiply_are_refused(file: Path) -> None:
    lines = [f"v{n}: &v{n} [{', '.join([f'*v{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "got more than 100,000 values in line 6 of FILE" in refused(file, "\n".join(["v0: &v0 [x]", *lines]))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "missing.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(InvalidSpec) as caught:
            read_file(path)
        assert str(caught.value).startswith(f"-f must name a readable file: got {path} ({why}).")


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(START.encode())))
    assert read_file(Path("-")) == FIELDS
