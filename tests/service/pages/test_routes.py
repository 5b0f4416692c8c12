"""The pages in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from search.engine.recorder import Recorder
from search.plan.selection import Point
from search.plan.spec import parse_spec
from search.plan.stages import Replicate
from search.store import leases, progress
from search.store.database import open_engine
from search.views import EpochProgress
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from service.pages.routes import MAX_ROWS
from tests.benchmarks.seeding import GC, GM, write_finished
from tests.search.stored import PLANTED, open_recorder, show, submit, train
from tests.service.conftest import Site
from tests.trainers.archives import class_folders, pack


def test_the_list_leads_to_a_search_and_its_reason(site: Site, page: Page) -> None:
    page.goto(site.url)
    page.locator(f"a[href='/searches/{site.done}']").click()  # children of it have its name too
    expect(page.get_by_role("heading", name="a finished search")).to_be_visible()
    for stage in show(site.database, site.done).stages:
        expect(page.get_by_text(stage.sentence)).to_be_visible()
    expect(page.locator("[data-drawn]")).to_have_count(7)
    expect(page.get_by_role("row", name="chosen SeqNorm")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_chart_is_drawn_in_both_themes(site: Site, page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    for search_id, charts in ((site.done, 7), (site.grid, 6)):
        page.goto(f"{site.url}/searches/{search_id}")
        expect(page.locator("[data-drawn] .main-svg .scatterlayer").first).to_be_attached()
        expect(page.locator("[data-drawn]")).to_have_count(charts)


def test_the_reason_of_each_candidate_is_a_click_away(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/searches/{site.done}")
    page.get_by_text("Candidates (largest-stable").click()
    expect(page.locator("#candidates-gm tr.chosen")).to_contain_text("chosen")


def test_a_search_that_waits_says_so(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/searches/{site.queued}")
    expect(page.locator("#summary .status")).to_have_text("queued")
    expect(page.get_by_text("No trial of this stage has a result.").first).to_be_visible()
    expect(page.get_by_text("No trial has started.")).to_be_visible()


def test_markup_in_a_name_is_shown_as_text(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/searches/{site.grid}")
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>markup</b> & 'quotes'")


def test_trials_are_paged_on_the_page(site: Site, page: Page) -> None:
    recorded = submit(site.database, gm=[1, 2, 4, 8, 16], gc=[1, 2, 4], seeds=8, name="many trials")
    recorder = open_recorder(site.database, recorded)
    train(recorder, recorded)
    recorder.close()
    page.goto(f"{site.url}/searches/{recorded}")
    expect(page.locator("#trial-rows tbody tr")).to_have_count(50)
    page.get_by_role("link", name="next").click()
    expect(page.locator("#trial-rows tbody tr")).to_have_count(8 * 8 + 12 - 50)


def test_a_page_follows_a_running_search_without_being_reloaded(site: Site, page: Page) -> None:
    running = submit(site.database, name="running")
    recorder = open_recorder(site.database, running)
    train(recorder, running, stop_after=3)
    page.goto(f"{site.url}/searches/{running}")
    expect(page.locator("#summary")).to_contain_text("3 of 36 trials done")
    page.evaluate("() => { document.body.dataset.loaded = 'once' }")
    expect(page.locator(".chart:not([data-drawn]):not(.empty)")).to_have_count(0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with site.engine.begin() as connection:
        progress.save(connection, running, EpochProgress(low=3, high=7, planned=30, done=0.3, seconds_per_trial=9.0))
    expect(page.locator("#summary")).to_contain_text("epoch 3–7/30")
    assert page.evaluate("fetch('/healthz').then(() => 0)") == 0
    assert asked == [f"{site.url}/searches/{running}", f"{site.url}/healthz"], "no chart shows how far trials are"
    recorder.close()
    with_rest = open_recorder_again(site, running)
    train(with_rest, running)
    with_rest.close()
    expect(page.locator("#summary .status")).to_have_text("done", timeout=15_000)
    expect(page.locator("#sentence-gm")).to_contain_text("is the largest stable gm")
    expect(page.locator("[data-drawn]")).to_have_count(7)
    assert page.locator("body").get_attribute("data-loaded") == "once"


def open_recorder_again(site: Site, search_id: str) -> Recorder:
    """Let the lease go, and take it anew."""
    engine = open_engine(site.database)
    with engine.begin() as connection:
        leases.release(connection, leases.Lease(search_id, 1))
    engine.dispose()
    return open_recorder(site.database, search_id)


def test_a_page_goes_on_without_the_drawing_library_and_draws_once_it_is_there(site: Site, browser: Browser) -> None:
    running = submit(site.database, name="without charts")
    recorder = open_recorder(site.database, running)
    train(recorder, running, stop_after=3)
    page = browser.new_page()  # what does not come is an error of the console
    site.log_in(page.context, "admin")
    page.route("**/plotly.js", lambda route: route.abort())
    page.goto(f"{site.url}/searches/{running}")
    expect(page.locator("#connection")).to_have_text("reconnecting …")
    train(recorder, running, stop_after=2)
    expect(page.locator("#summary")).to_contain_text("5 of 36 trials done", timeout=15_000)
    page.unroute("**/plotly.js")
    expect(page.locator("[data-drawn]").first).to_be_attached(timeout=15_000)
    expect(page.locator("#connection")).to_have_text("")
    recorder.close()
    page.context.close()


def test_a_data_set_is_uploaded_in_the_form_and_chosen(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/new?recipe=images")
    page.get_by_label("gm, groups of samples").fill("1")
    page.get_by_text("Numbers of images").click()
    page.locator("[name='numbers.batch']").fill("4")
    expect(page.locator("#refused")).to_contain_text(
        "got no data set. Choose one under “Data set”, or add a file there."
    )
    expect(page.locator("#submit")).to_be_disabled()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    packed = {"name": "My roses (2).zip", "mimeType": "application/zip", "buffer": pack(class_folders("My roses/"))}
    page.get_by_label("Add a file").set_input_files(packed)  # type: ignore[arg-type]
    expect(page.get_by_label("Name of the data set")).to_have_value("My-roses-2")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload-message")).to_have_text("My-roses-2 is there, with 2 classes, and chosen.")
    expect(page.get_by_role("row", name="My-roses-2").get_by_role("radio")).to_be_checked()
    expect(page.locator("#refused")).to_have_text("")
    expect(page.locator("#submit")).to_be_enabled()
    page.get_by_label("Add a file").set_input_files(packed)  # type: ignore[arg-type]
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload-message")).to_contain_text("My-roses-2 is there already: give another")


def test_an_unknown_search_has_a_page_that_says_so(site: Site, page: Page) -> None:
    answer = page.request.get(f"{site.url}/searches/nowhere", headers={"Accept": "text/html"})
    assert answer.status == 404
    assert "no search has the id &#39;nowhere&#39;" in answer.text()


def test_a_grid_is_a_heat_map_with_the_choice_framed(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/searches/{site.grid}")
    heatmap = page.get_by_role("figure", name="Mean of every gm and gc")
    expect(heatmap.locator(".heatmaplayer image")).to_be_attached()
    expect(heatmap.locator(".shapelayer path")).to_have_count(1)


def test_of_very_many_candidates_the_best_are_shown_and_the_others_a_click_away(site: Site, page: Page) -> None:
    variants = {f"v{number}": {} for number in range(9)}
    many = {**PLANTED, "strategy": "grid", "gm": GM, "gc": GC, "seeds": 1, "variants": variants, "name": "many points"}
    with site.engine.begin() as connection:
        search_id = write_finished(connection, parse_spec(many))
    page.goto(f"{site.url}/searches/{search_id}")
    page.get_by_text("Candidates (best-mean").click()
    table = page.locator("#candidates-grid tbody tr")
    expect(table).to_have_count(MAX_ROWS)
    expect(page.locator("#candidates-grid tr.chosen")).to_have_count(1)
    page.get_by_role("link", name="all 225").click()
    expect(page.get_by_role("heading", name="Candidates of stage grid")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(225)
    expect(page.locator("tr.chosen")).to_have_count(1)
    assert site.api.get(f"/searches/{search_id}/candidates/gm").status_code == 422


def test_another_variants_heat_map_is_drawn_when_it_is_asked_for(site: Site, page: Page) -> None:
    variants = {"main": {}, "other": {"noise": 0.1}}
    two = {**PLANTED, "strategy": "grid", "gm": [1, 8], "gc": [1, 4], "seeds": 1, "variants": variants}
    with site.engine.begin() as connection:
        search_id = write_finished(connection, parse_spec(two))
    page.goto(f"{site.url}/searches/{search_id}")
    heatmap = page.get_by_role("figure", name="Mean of every gm and gc at one value of the other axes")
    drawn = "() => document.getElementById('heat-map-grid').data[0].z.flat()"
    expect(heatmap.locator(".heatmaplayer image")).to_be_attached()
    before, other = page.evaluate(drawn), page.get_by_role("combobox", name="At").locator("option:not([selected])")
    page.get_by_role("combobox", name="At").select_option(other.get_attribute("value") or "")
    page.wait_for_function(f"before => ({drawn})().join() !== before.join()", arg=before)


def test_a_trial_shows_its_figures_its_log_and_the_attempts_before_it(site: Site, page: Page) -> None:
    search_id = submit(site.database, name="a trial that was lost")
    recorder = open_recorder(site.database, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    replicate = Replicate("gm", Point("main", 4, 0), 0)
    recorder.finish(recorder.start(replicate), Outcome(cause=Cause.LOST, detail="its node went away"))
    again = recorder.start(replicate)
    recorder.report(again, {epoch: {"validation_accuracy": epoch / 10, "train_loss": 1 / epoch} for epoch in (1, 2, 3)})
    log = site.settings.trial_log(search_id, replicate.key)
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1 <script>alert(1)</script>\n")
    page.goto(f"{site.url}/searches/{search_id}")
    page.locator("#trial-rows").get_by_role("link", name="1", exact=True).click()
    expect(page.locator("#summary")).to_contain_text("gm=4, gc=0, seed 0")
    expect(page.locator("[data-drawn]")).to_have_count(1)
    expect(page.locator("#log-tail pre")).to_have_text("epoch 1 <script>alert(1)</script>")
    follow_log(page, log)
    recorder.finish(again, Outcome(value=0.3))
    recorder.close()
    with page.expect_response(lambda part: "/log/part" in part.url and part.json()["ended"]):
        expect(page.locator("#summary .status")).to_have_text("finished")
    expect(page.get_by_role("row", name="its node went away")).to_contain_text("lost")
    page.get_by_role("row", name="its node went away").get_by_role("link").click()
    expect(page.locator("#summary .status")).to_have_text("lost")
    expect(page.locator("[data-log]")).to_have_count(0)


def follow_log(page: Page, log: Path) -> None:
    """See that what a trial prints is appended, that nothing is lost, and that the reader is left in peace."""
    shown = page.locator("#log-tail pre")
    shown.evaluate("(log) => getSelection().setBaseAndExtent(log.firstChild, 0, log.firstChild, 7)")
    for beginning, added in ((False, "<b>x</b>\n" * 20_000), (True, "y\n" * 10)):  # more than the page's tail and more
        if beginning:
            shown.evaluate("(log) => { log.scrollTop = 0 }")
        with log.open("a") as file:
            file.write(added)
        expect(shown).to_have_js_property("textContent", log.read_text())
        assert shown.evaluate("(log) => log.scrollHeight - log.scrollTop - log.clientHeight < 2") is not beginning
        assert (shown.evaluate("(log) => log.scrollTop") == 0) is beginning
    assert page.evaluate("getSelection().toString()") == "epoch 1"


def test_a_trial_that_is_not_there_is_said_to_be_missing(site: Site, browser: Browser) -> None:
    page = browser.new_page()  # a 404 is an error of the console
    site.log_in(page.context, "read")
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    url = f"{site.url}/searches/{site.done}/trials/gm/999"
    answer = page.goto(url)
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    page.clock.run_for(10_000)
    page.evaluate("fetch('/healthz').then(() => 0)")
    assert asked.count(url) == 1, "there is nothing to keep current"
    page.close()
