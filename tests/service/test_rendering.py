"""Pages from templates, and how times and queries are written in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from search.settings import Settings
from search.store.database import open_engine
from service import accounts
from service.app import create_app
from service.rendering import build_query, format_time, render_page
from tests.search.stored import finished_search, prepare, show

SMALL = {"gm": [1, 8], "gc": [1, 4], "seeds": 2, "test_seeds": 2}


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """Somebody who reads the pages of the service in this process."""
    prepare(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        _, token = accounts.create_token(connection, name="a test", owner="ada", scopes=["read"], lifetime=None)
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(settings), "http://127.0.0.1", headers=headers) as client:
        yield client


def headers_of(page: str) -> list[list[str]]:
    """Return the columns of each table of a page."""
    return [re.findall(r"<th[^>]*>(?:<a[^>]*>)?([^<]*)", row) for row in re.findall(r"<thead><tr>(.*?)</tr>", page)]


def test_a_page_names_the_values_of_further_axes_and_says_what_checks_found(
    settings: Settings, client: TestClient
) -> None:
    search_id = finished_search(settings.database_url, **SMALL, vary={"learning_rate": [0.05, 0.1]}, rounds=1)
    page = client.get(f"/searches/{search_id}").text
    figures = ["mean ± std", "std err", "n", "failed"]
    *stages, test, trials = headers_of(page)
    assert stages == [["gm", "gc", "learning_rate", *figures, "reason"]] * 5
    assert test == ["point", "gm", "gc", "learning_rate", *figures]
    assert trials[:5] == ["stage", "number", "gm", "gc", "learning_rate"]
    assert "Chosen: <strong>gm=8, gc=4, learning_rate=0.05</strong>" in page
    assert "Checked at gc=4, learning_rate=0.05: gm=8 stays. " in page
    for row in show(settings.database_url, search_id).test:
        for gain in row.gains:
            assert f"<li>{', '.join(row.labels)}: {gain.sentence}</li>" in page
    trial = client.get(f"/searches/{search_id}/trials/learning_rate/2").text  # the first two are linked
    assert "<p>gm=8, gc=4, learning_rate=0.05, seed 0</p>" in trial
    assert "--gm 8 --gc 4 --seed 0 --set learning_rate=0.05" in trial


def test_the_map_of_a_grid_is_drawn_at_each_value_of_its_further_axes(settings: Settings, client: TestClient) -> None:
    further = {"vary": {"learning_rate": [0.05, 0.1]}, "strategy": "grid"}
    search_id = finished_search(settings.database_url, **SMALL, **further)
    page = client.get(f"/searches/{search_id}").text
    assert "<label>At <select data-draws" in page
    drawn = [
        client.get(f"/api/searches/{search_id}/figures/grid/heatmap/{quote(f'learning_rate={value}')}").json()
        for value in (0.05, 0.1)
    ]
    assert [figure["data"][0]["x"] for figure in drawn] == [["1", "8"]] * 2
    assert ["shapes" in figure["layout"] for figure in drawn] == [True, False]
    assert page.count(f'value="/api/searches/{search_id}/figures/grid/heatmap/learning_rate%3D0.') == 2


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
