"""The JSON API over a real server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.search.engine import show
from tests.service.conftest import Site


def get(site: Site, path: str) -> Any:
    """Read a JSON answer."""
    return site.api.get(path).raise_for_status().json()


def refused(site: Site, path: str) -> dict[str, Any]:
    """Read a problem."""
    answer = site.api.get(path)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.status_code == answer.json()["status"]
    problem: dict[str, Any] = answer.json()
    return problem


def test_a_search_is_answered_as_the_store_shows_it(site: Site) -> None:
    assert get(site, f"/api/searches/{site.done}") == show(site.database, site.done)


@pytest.mark.parametrize(
    ("sort", "key", "falling"),
    [
        ("-created", "created_at", True),
        ("created", "created_at", False),
        ("name", "name", False),
        ("-name", "name", True),
    ],
)
def test_searches_are_listed_sorted_in_pages_each_once(site: Site, sort: str, key: str, falling: bool) -> None:
    rows, cursor = [], ""
    while cursor is not None:
        page = get(site, f"/api/searches?limit=2&sort={sort}&cursor={cursor}")
        rows += page["searches"]
        cursor = page["next"]
    assert {site.queued, site.grid, site.done} <= {row["id"] for row in rows}
    assert len({row["id"] for row in rows}) == len(rows)
    assert [row[key] for row in rows] == sorted((row[key] for row in rows), reverse=falling)


def test_searches_are_filtered(site: Site) -> None:
    for query, expected in (
        ("status=queued&name=waiting", [site.queued]),
        ("name=FINISHED search&status=done&owner=local", [site.done]),
        ("recipe=digits-mlp&name=waiting", []),
        ("tag=nothing", []),
        ("name=%25", []),
    ):
        assert [row["id"] for row in get(site, f"/api/searches?{query}")["searches"]] == expected, query


def test_trials_are_paged(site: Site) -> None:
    first = get(site, f"/api/searches/{site.done}/trials?limit=30")
    second = get(site, f"/api/searches/{site.done}/trials?limit=30&after={first['next']}")
    assert (len(first["trials"]), len(second["trials"]), second["next"]) == (30, 6, None)


def test_trials_are_filtered_by_stage_and_state(site: Site) -> None:
    trials = get(site, f"/api/searches/{site.done}/trials?stage=gc&state=COMPLETE")["trials"]
    assert {trial["stage"] for trial in trials} == {"gc"}
    assert len(trials) == 9


def test_candidates_name_the_chosen_one(site: Site) -> None:
    candidates = get(site, f"/api/searches/{site.done}/candidates")
    assert [row["gm"] for row in candidates["stages"]["gm"] if row["chosen"]] == [8]
    assert len(candidates["test"]) == 4


def test_a_stage_chart_has_means_error_bars_seeds_band_and_choice(site: Site) -> None:
    figure = get(site, f"/api/searches/{site.done}/figures/gm")
    shown = show(site.database, site.done)["stages"][0]
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert traces["mean ± std"]["y"] == [row["mean"] for row in shown["candidates"]]
    assert traces["mean ± std"]["error_y"]["array"] == [row["std"] for row in shown["candidates"]]
    assert len(traces["each seed"]["y"]) == 15
    assert traces["chosen"]["hovertext"] == shown["sentence"]
    (band,) = figure["layout"]["shapes"]
    assert (band["y0"], band["y1"]) == (shown["best_mean"] - shown["tolerance"], shown["best_mean"])


def test_the_chart_of_stage_gc_shows_ghost_norm_for_comparison(site: Site) -> None:
    figure = get(site, f"/api/searches/{site.done}/figures/gc")
    assert figure["layout"]["xaxis"]["ticktext"] == ["gc=0", "gc=1", "gc=2", "gc=4"]


def test_a_trial_is_answered_with_its_figures_and_attempts(site: Site) -> None:
    trial = get(site, f"/api/searches/{site.done}/trials/gc/4")
    assert (trial["stage"], trial["number"], trial["state"]) == ("gc", 4, "COMPLETE")
    assert trial["figures"] == [{"epoch": 1, "train_loss": 0.5, "validation_accuracy": trial["value"]}]
    assert [attempt["number"] for attempt in trial["attempts"]] == [4]


def test_a_trial_that_is_not_there_is_refused(site: Site) -> None:
    assert "got gm and 999" in refused(site, f"/api/searches/{site.done}/trials/gm/999")["detail"]


def test_a_log_is_its_last_part_and_no_link_is_followed(site: Site) -> None:
    trial = get(site, f"/api/searches/{site.done}/trials/gm/0")
    key = f"gm-main-gm{trial['gm']}-gc{trial['gc']}-seed{trial['seed']}"
    log, url = site.settings.log_of(site.done, key), f"/api/searches/{site.done}/trials/gm/0/log"
    assert site.api.get(url).content == b""
    log.parent.mkdir(parents=True)
    log.write_text("first\n" + "x" * 2**16)
    assert site.api.get(url).content == b"x" * 2**16
    log.unlink()
    log.symlink_to("/etc/passwd")
    assert site.api.get(url).content == b""


def test_learning_curves_have_a_line_and_a_band_for_each_point(site: Site) -> None:
    figure = get(site, f"/api/searches/{site.done}/figures/gm/curves")
    assert [trace["name"] for trace in figure["data"] if "name" in trace] == [
        f"gm={gm}, gc=0" for gm in (1, 2, 4, 8, 16)
    ]
    assert len(figure["data"]) == 10


def test_a_heat_map_has_the_mean_of_each_pair(site: Site) -> None:
    candidates = get(site, f"/api/searches/{site.grid}/candidates")["stages"]["grid"]
    (trace,) = get(site, f"/api/searches/{site.grid}/figures/grid/heatmap/main")["data"]
    means = {(row["gm"], row["gc"]): row["mean"] for row in candidates}
    assert [[means[int(gm), int(gc)] for gm in trace["x"]] for gc in trace["y"]] == trace["z"]


def test_a_heat_map_of_a_sequence_is_refused(site: Site) -> None:
    assert "Known: gm, gc." in refused(site, f"/api/searches/{site.done}/figures/grid/heatmap/main")["detail"]
