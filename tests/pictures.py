"""``python -m tests.pictures FOLDER``: the README's pictures, of a search on real images in a real browser."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from search.client import Client
from search.settings import Settings
from tests.service.conftest import chromium, free_port, serving

SPEC = {"recipe": "digits-mlp", "gm": [1, 2, 4, 8], "gc": [1, 2], "seeds": 3, "name": "digits", "tags": ["real"]}
PAGES = {"search.png": ("/searches/{id}", 1150), "new.png": ("/new?recipe=digits-mlp", 960)}  # and height in pixels
WIDTH = 1280
SECONDS = 300  # that the search may take


def main(folder: Path) -> None:
    """Run a search and take a picture of each page."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), port=free_port())
        url = f"http://{settings.host}:{settings.port}"
        with serving(settings), sync_playwright() as playwright:
            token = settings.token_file.read_text().strip()
            search_id = Client(url, token).submit(SPEC).search
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"{url}/login")
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Log in").click()
            page.goto(f"{url}/searches/{search_id}")
            expect(page.locator("#summary .status")).to_have_text("done", timeout=SECONDS * 1000)
            for name, (path, height) in PAGES.items():
                page.set_viewport_size({"width": WIDTH, "height": height})
                page.goto(url + path.format(id=search_id))
                page.wait_for_load_state("networkidle" if "id" not in path else "load")
                if "id" in path:
                    expect(page.locator("[data-figure]:not([data-drawn])")).to_have_count(0)
                page.screenshot(path=folder / name)
                print(f"wrote {folder / name}")
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
