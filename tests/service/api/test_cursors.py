"""A cursor leads on from the row it was written for; anything else is refused."""

from __future__ import annotations

import base64
import json

import pytest

from search.views import SearchRow
from search.vocabulary.errors import InvalidSpec
from service.api.cursors import read_cursor, write_cursor
from tests.search.examples import example


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize("sort", ["-created", "created"])
def test_a_cursor_of_a_row_holds_when_it_was_created(sort: str) -> None:
    row = example(SearchRow, search="ab12", created_at=1234.5, name="ä")
    assert read_cursor(write_cursor(row, sort), sort) == (1234.5, "ab12")


@pytest.mark.parametrize("sort", ["-name", "name"])
def test_a_cursor_of_a_row_holds_its_name(sort: str) -> None:
    row = example(SearchRow, search="ab12", created_at=1234.5, name="ä 'b'")
    assert read_cursor(write_cursor(row, sort), sort) == ("ä 'b'", "ab12")


def test_a_time_that_was_written_as_an_integer_is_a_time() -> None:
    assert read_cursor(cursor('["-created", 17, "a"]'), "-created") == (17.0, "a")


@pytest.mark.parametrize(
    "text",
    [
        f'["-created", {"9" * 400}, "a"]',
        f'["-created", {"9" * 5000}, "a"]',
        '["-created", NaN, "a"]',
        '["-created", -Infinity, "a"]',
        '["-created", 1e999, "a"]',
        '["-created", "nan", "a"]',
        '["-created", "\\u0663", "a"]',
        '["-created", true, "a"]',
        '["-created", null, "a"]',
        '["-created", 1.5, 3]',
        '["-created", 1.5, "a b"]',
        '["-created", 1.5]',
        '["created", 1.5, "a"]',
        '{"-created": 1.5, "a": 1, "b": 2}',
        '"abc"',
        "[" * 100_000,
        '{"a":' * 100_000,
        "",
    ],
    ids=lambda text: text[:24],
)
def test_what_no_page_answered_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^cursor must be the next of an earlier page with the same sort: got '"):
        read_cursor(cursor(text), "-created")


@pytest.mark.parametrize("value", [17, "a\nb", "\ud800", None, ["a"]])
def test_a_name_that_no_search_can_have_is_refused(value: object) -> None:
    with pytest.raises(InvalidSpec, match=r"^cursor must be "):
        read_cursor(cursor(json.dumps(["name", value, "a"])), "name")


@pytest.mark.parametrize("raw", ["é", "a", "!!!!", "\x00", "gIGC", "٣٣٣٣"])
def test_what_is_no_base64_of_text_is_refused(raw: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^cursor must be "):
        read_cursor(raw, "-created")
