"""Logging in, submitting, following and steering, as a person does it in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from search.settings import Settings
from search.vocabulary.states import Status
from tests.search.stored import finished_search, submit
from tests.service.conftest import Site, free_port, serving, watched


def test_a_person_logs_in_and_out(site: Site, browser: Browser) -> None:
    with watched(browser, site, "none") as page:
        page.goto(f"{site.url}/searches/{site.done}")
        page.get_by_label("Token").fill(site.token("read"))
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="a finished search")).to_be_visible()
        page.wait_for_load_state("networkidle")  # what a script still asks for then is refused, and complained about
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.goto(site.url)
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_who_only_reads_is_offered_nothing_else(site: Site, browser: Browser) -> None:
    with watched(browser, site, "read") as page:
        page.goto(f"{site.url}/searches/{site.queued}")
        expect(page.get_by_role("link", name="Export CSV")).to_be_visible()
        for name in ("Pause", "Cancel", "Archive"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        for name in ("New search", "Tokens", "Clone"):
            expect(page.get_by_role("link", name=name)).to_have_count(0)


class Live:
    """A service with a worker of its own."""

    def __init__(self, settings: Settings, printed: Path) -> None:
        self.url = f"http://{settings.host}:{settings.port}"
        self.printed = printed


@pytest.fixture(scope="module")
def live(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("live")
    settings = Settings(home=home, port=free_port(), lease_seconds=3.0, renew_seconds=0.5)
    finished_search(settings.database_url, name="an older one")
    with serving(settings) as printed:
        yield Live(settings, printed)


@pytest.fixture
def person(live: Live, browser: Browser, site: Site) -> Iterator[Page]:
    """Somebody who logs in with the link that the service printed at its start, or goes on in that session."""
    with watched(browser, site, "none") as page:
        kept = live.printed.with_name("session.json")
        if kept.exists():
            page.context.add_cookies(json.loads(kept.read_text()))
            page.goto(live.url)
        else:
            (link,) = re.findall(r"http://\S+/login\?code=\S+", live.printed.read_text())
            page.goto(link)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", name="Searches")).to_be_visible()
            kept.write_text(json.dumps(page.context.cookies()))
        expect(page.get_by_role("heading", name="Searches")).to_be_visible()
        yield page


def test_a_person_submits_a_form_and_watches_the_search_finish(live: Live, person: Page) -> None:
    person.get_by_role("link", name="New search").click()
    person.locator("#recipe").select_option("planted")
    expect(person.get_by_role("heading", name="New search")).to_be_visible()
    person.wait_for_url("**/new?recipe=planted")
    person.get_by_label("gm, groups").fill("1,3,8")
    expect(person.get_by_text("gm=3 is refused: gm must divide the batch")).to_be_visible()
    expect(person.get_by_role("button", name="Start the search")).to_be_disabled()
    person.get_by_label("gm, groups").fill("1,8")
    person.get_by_label("gc, groups").fill("4")
    person.get_by_role("textbox", name="Seeds").fill("1")
    expect(person.get_by_role("cell", name="1 trial", exact=True)).to_be_visible()
    person.get_by_label("gc, groups").fill("1,4")
    person.get_by_role("textbox", name="Seeds").fill("2")
    person.get_by_role("textbox", name="Name", exact=True).fill("by form")
    person.get_by_role("textbox", name="Tags").fill("mine, too")
    expect(person.locator("#plan-sentence")).to_contain_text("At most 20 trials (grid: 17")
    person.get_by_role("button", name="Start the search").click()
    expect(person.get_by_role("heading", name="by form")).to_be_visible()
    person.evaluate("() => { document.body.dataset.loaded = 'once' }")
    expect(person.locator("#summary .status")).to_have_text("done", timeout=90_000)
    expect(person.locator("#sentence-gm")).to_contain_text("gm=8 is the largest stable gm")
    expect(person.locator("#sentence-gc")).to_contain_text("gc=4 has the highest mean")
    expect(person.get_by_role("row", name="chosen SeqNorm")).to_be_visible()
    expect(person.locator("[data-drawn]")).to_have_count(7)
    expect(person.locator("#connection")).to_be_empty()
    assert person.locator("body").get_attribute("data-loaded") == "once"
    person.locator("#trial-rows").get_by_role("link", name="0", exact=True).first.click()
    expect(person.locator("#log-tail")).to_contain_text("training gm=")
    expect(person.locator("pre", has_text="python -m trainers planted --gm")).to_be_visible()


def test_a_person_pauses_resumes_and_cancels_a_running_search(live: Live, person: Page) -> None:
    person.goto(f"{live.url}/new?recipe=planted")
    person.get_by_label("gm, groups").fill("1,2,4,8")
    person.get_by_text("Numbers of planted").click()
    person.get_by_label("seconds", exact=False).first.fill("5")
    person.get_by_role("button", name="Start the search").click()
    expect(person.locator("#summary")).to_contain_text("2 running", timeout=60_000)
    person.goto(f"{live.url}/cluster")
    expect(person.locator("#cluster")).to_contain_text("2 trials at once")
    person.go_back()
    person.get_by_role("button", name="Pause").click()
    expect(person.locator("#summary .status")).to_have_text("paused", timeout=30_000)
    person.get_by_role("button", name="Resume").click()
    expect(person.locator("#summary .status")).to_have_text(re.compile("queued|running"))
    person.on("dialog", lambda dialog: dialog.accept())
    person.get_by_role("button", name="Cancel").click()
    expect(person.locator("#summary .status")).to_have_text("cancelled", timeout=30_000)
    person.get_by_role("button", name="Archive").click()
    expect(person.locator("#summary")).to_contain_text("archived")


def test_a_finished_search_is_widened_on_its_page(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/searches/{site.done}")
    page.wait_for_selector("body[data-ready]")
    page.get_by_text("Widen: more values or seeds").click()
    page.get_by_role("spinbutton", name="Seeds").fill("4")
    page.get_by_role("button", name="Widen").click()
    expect(page.get_by_text("Reuses the finished trials of")).to_be_visible()
    child = page.url.rsplit("/", 1)[1]
    assert child != site.done
    assert site.api.get(f"/api/searches/{child}").json()["parent"] == site.done
    page.get_by_role("link", name=site.done).click()
    expect(page.get_by_role("link", name=child)).to_be_visible()
    site.api.post(f"/api/searches/{child}/cancel").raise_for_status()


def test_a_clone_is_a_form_filled_in(site: Site, page: Page) -> None:
    parent = submit(
        site.database, name="to copy", numbers={"epochs": 3}, gm=[2, 4], variants={"main": {}, "b": {"noise": 0.1}}
    )
    page.goto(f"{site.url}/searches/{parent}")
    page.get_by_role("link", name="Clone").click()
    expect(page.get_by_label("gm, groups")).to_have_value("2,4")
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("to copy")
    page.get_by_role("button", name="Start the search").click()
    page.wait_for_url(re.compile(r"/searches/(?!.*new)"))
    copy = page.url.rpartition("/")[2]
    assert copy != parent
    spec = site.api.get(f"/api/searches/{copy}").json()["spec"]
    assert (spec["numbers"], spec["variants"]) == ({"epochs": "3"}, {"main": {}, "b": {"noise": 0.1}})


def test_lists_are_filtered_and_searches_compared(site: Site, page: Page) -> None:
    submit(site.database, name="tagged", tags=["alpha"])
    page.goto(f"{site.url}/?tag=alpha")
    expect(page.locator("#searches tbody tr")).to_have_count(1)
    page.get_by_role("searchbox", name="Name").fill("nothing is called so")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No search matches these filters.")).to_be_visible()
    page.goto(f"{site.url}/?status=done")
    page.get_by_label("compare a finished search").check()
    page.get_by_label("compare <b>markup</b>").check()
    page.get_by_role("button", name="Compare selected").click()
    expect(page.locator("[data-drawn]")).to_have_count(2)
    expect(page.get_by_role("row", name="a finished search done")).to_be_visible()
    names = page.locator("[data-drawn]").first.locator(".legendtext")
    expect(names).to_have_text(["<b>markup</b> & 'quotes'", "a finished search"])


def test_trials_are_sorted_and_filtered_on_the_page(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/searches/{site.done}")
    page.get_by_role("link", name="highest first").click()
    values = page.locator("#trial-rows tbody tr td:nth-child(7)").all_inner_texts()
    assert values == sorted(values, reverse=True)
    page.get_by_role("link", name="stage gc").click()
    expect(page.locator("#trial-rows tbody tr")).to_have_count(9)


def test_an_admin_makes_a_token_and_revokes_it(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/tokens")
    page.get_by_role("textbox", name="Name").fill("a laptop")
    page.get_by_role("textbox", name="Owner").fill("grace")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#made-text")).to_contain_text("seqnorm_")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke a laptop of grace").click()
    expect(page.locator("#tokens").get_by_role("row", name="a laptop")).to_contain_text("revoked")


def test_a_page_says_that_it_reconnects_and_misses_nothing(browser: Browser, site: Site, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=free_port(), worker=0)
    search_id = submit(settings.database_url, name="before")
    context = browser.new_context()
    page = context.new_page()  # what cannot be reached is an error of the console
    with serving(settings) as printed:
        page.goto(re.findall(r"http://\S+/login\?code=\S+", printed.read_text())[0])
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Searches")).to_be_visible()
        page.goto(f"http://127.0.0.1:{settings.port}/searches/{search_id}")
        expect(page.locator("#connection")).to_be_empty()
    expect(page.locator("#connection")).to_have_text("reconnecting …", timeout=15_000)
    from search.store import searches
    from search.store.database import open_engine

    with open_engine(settings.database_url).begin() as connection:
        searches.request_status(connection, search_id, Status.CANCELLED)
    with serving(settings):
        expect(page.locator("#summary .status")).to_have_text("cancelled", timeout=15_000)
        expect(page.locator("#connection")).to_be_empty(timeout=15_000)
        context.close()


PAGES = {
    "searches": "/",
    "search": "/searches/{done}",
    "grid": "/searches/{grid}",
    "waiting": "/searches/{queued}",
    "trial": "/searches/{done}/trials/gm/0",
    "new": "/new?recipe=mnist-simplenet",
    "compare": "/compare?id={done}&id={grid}",
    "nothing to compare": "/compare",
    "cluster": "/cluster",
    "tokens": "/tokens",
    "login": "/login",
}


DRAWN_IN_THEME = """() => [...document.querySelectorAll(".js-plotly-plot")].every(
    (chart) => chart.layout.font.color === getComputedStyle(document.body).color
)"""


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_accessible_in_either_theme_and_when_that_changes(site: Site, page: Page, name: str) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(site.url + PAGES[name].format(done=site.done, grid=site.grid, queued=site.queued))
    for chart in page.locator("[data-figure]").all():
        expect(chart).to_have_class(re.compile("js-plotly-plot|empty"))
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        page.wait_for_function(DRAWN_IN_THEME)
        found = Axe().run(page).response["violations"]
        grave = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not [f"{theme}: {each['id']}: {each['nodes'][0]['html'][:200]}" for each in grave]


def test_the_viewer_of_the_api_is_served_here(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/docs")
    expect(page.get_by_text("/api/searches/{id}/events")).to_be_visible()


def test_pages_fit_a_phone(site: Site, browser: Browser) -> None:
    with watched(browser, site, "admin", viewport={"width": 390, "height": 800}) as page:
        for path in ("/", f"/searches/{site.done}", "/new?recipe=planted", "/cluster", "/tokens"):
            page.goto(site.url + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
