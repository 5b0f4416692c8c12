"""Pages from templates, and how times and queries are written in them."""

from __future__ import annotations

import pytest
from fastapi import Request

from service.rendering import build_query, format_time, render_page


def test_a_page_is_rendered_with_its_status_and_what_is_said_is_text() -> None:
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": []})
    answer = render_page(request, "problem.html", 404, title="Not found", detail="<script>alert(1)</script>")
    assert (answer.status_code, answer.media_type) == (404, "text/html")
    said = bytes(answer.body).decode()
    assert "<h1>Not found</h1>" in said
    assert "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>" in said


def test_a_page_for_strangers_has_no_navigation() -> None:
    request = Request({"type": "http", "method": "GET", "path": "/login", "headers": []})
    said = bytes(render_page(request, "login.html", next="/", message="").body).decode()
    assert '<form method="post" action="/login"' in said
    assert "<nav" not in said


def test_a_time_is_written_in_utc_and_none_as_a_dash() -> None:
    assert format_time(1_800_000_000.9) == "2027-01-15 08:00 UTC"
    assert format_time(None) == "–"


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({}, "?name=a%26b&tag=x"),
        ({"name": None}, "?tag=x"),
        ({"name": "", "tag": False}, "?"),
        ({"after": 3}, "?name=a%26b&tag=x&after=3"),
        ({"tag": ["x", "y"]}, "?name=a%26b&tag=x&tag=y"),
    ],
)
def test_a_query_keeps_what_is_not_changed_and_leaves_out_what_is_empty(changes: dict, written: str) -> None:
    assert build_query({"name": "a&b", "tag": "x"}, **changes) == written
