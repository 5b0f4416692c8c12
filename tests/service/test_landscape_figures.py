"""The figures of ``seqnorm landscape`` in a real browser, which needs nothing from anywhere to draw them."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.search.program import seqnorm

POINTS = ["no normalization", "BatchNorm", "GhostNorm, gm=4", "GhostNorm, gm=16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the landscape of an epoch on the real digits."""
    out = tmp_path_factory.mktemp("landscape") / "out"
    words = ["--gm", "4,16", "--set", "epochs=1", "--set", "width=32", "--set", "device=cpu", "--no-gradients"]
    seqnorm(out.parent / "home", "landscape", "digits-mlp", *words, "--out", str(out))
    return out


def open_figure(page: Page, file: Path) -> list[str]:
    """Open a file as if a server had sent it; return a list of all that the browser asks for."""
    url, requests = f"http://127.0.0.1:9/{file.name}", []

    def answer(route: Route) -> None:
        requests.append(route.request.url)
        route.fulfill(path=file) if route.request.url == url else route.abort()

    page.route("**/*", answer)
    page.goto(url)
    expect(page.locator(".main-svg .subplot").first).to_be_attached()
    assert requests == [url]
    return requests


def test_figure_6_has_a_panel_for_each_point_and_one_for_the_test_errors(folder: Path, page: Page) -> None:
    requests = open_figure(page, folder / "panels.html")
    expect(page.locator(".main-svg .cartesianlayer > .subplot")).to_have_count(len(POINTS) + 1)
    titles = page.locator(".main-svg .annotation-text")
    assert titles.all_text_contents() == [*POINTS, "test error"]
    bands = page.locator(".main-svg .scatterlayer .fills path.js-fill")
    expect(bands).to_have_count(len(POINTS))
    assert all(len(band.get_attribute("d") or "") > 50 for band in bands.all())
    expect(page.locator(".subplot").nth(len(POINTS)).locator(".scatterlayer .trace")).to_have_count(len(POINTS))
    assert len(requests) == 1


def test_figure_2_lays_the_bands_of_the_best_and_the_baselines_over_one_another(folder: Path, page: Page) -> None:
    requests = open_figure(page, folder / "comparison.html")
    expect(page.locator(".main-svg .cartesianlayer > .subplot")).to_have_count(1)
    bands = page.locator(".main-svg .scatterlayer .fills path.js-fill")
    expect(bands).to_have_count(3)
    assert all(len(band.get_attribute("d") or "") > 50 for band in bands.all())
    shown = page.locator(".legend .legendtext").all_text_contents()
    assert {"no normalization", "BatchNorm"} < set(shown) < set(POINTS)
    assert len(requests) == 1
