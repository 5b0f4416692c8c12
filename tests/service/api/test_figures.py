"""Figures as Plotly JSON."""

from __future__ import annotations

from tests.search.stored import show
from tests.service.api.answers import get, refused
from tests.service.conftest import Site


def test_a_stage_chart_has_means_error_bars_seeds_band_and_choice(site: Site) -> None:
    figure = get(site, f"/api/searches/{site.done}/figures/gm")
    shown = show(site.database, site.done).stages[0]
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert traces["mean ± std"]["y"] == [row.mean for row in shown.candidates]
    assert traces["mean ± std"]["error_y"]["array"] == [row.std for row in shown.candidates]
    assert len(traces["each seed"]["y"]) == 15
    assert traces["chosen"]["hovertext"] == shown.sentence
    (band,) = figure["layout"]["shapes"]
    assert (band["y0"], band["y1"]) == (shown.best_mean - shown.tolerance, shown.best_mean)


def test_the_chart_of_stage_gc_shows_ghost_norm_for_comparison(site: Site) -> None:
    figure = get(site, f"/api/searches/{site.done}/figures/gc")
    assert figure["layout"]["xaxis"]["ticktext"] == ["gc=0", "gc=1", "gc=2", "gc=4"]


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
    assert refused(site, f"/api/searches/{site.done}/figures/gm/heatmap/main")["detail"] == (
        "a heat map needs a stage that tunes gm and gc together: got gm, which tunes gm. "
        "Draw its candidates instead: figures/gm."
    )
