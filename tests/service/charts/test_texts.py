"""Every text of every figure is text: Plotly, which reads some HTML, shows what a person wrote as it was written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest

from search.views import (
    CandidateView,
    CurveView,
    EpochView,
    Figure,
    MeasuredView,
    SearchView,
    SeedView,
    StageView,
    TrialLocation,
    TrialRow,
)
from service import charts
from tests.search.examples import example

WORDS = (
    '<a href="https://evil.example">click</a> <b>bold</b> &lt;i&gt; &amp; R&D a<br>b</tspan><script>alert(1)</script> '
    "<extra>%{x} %{meta}</extra> &#60;a href=x&#62;"
)
OWN_MARKUP = re.compile(r"<br>|<extra></extra>$")


def _stage(words: str) -> Figure:
    row: dict[str, Any] = {"gm": 1, "gc": 0, "mean": 0.9, "why": words, "n": 1, "chosen": True}
    rows = [example(CandidateView, variant=words, **row), example(CandidateView, variant="main", **row)]
    stage = example(StageView, axes=("gm",), candidates=rows, reference=rows[0], sentence=words, best_mean=0.9)
    seeds = [SeedView(variant=words, gm=1, gc=0, seed=0, value=0.9)]
    return charts.stage_chart(stage, seeds, "max", words)


def _test(words: str) -> Figure:
    return charts.test_chart([example(MeasuredView, gm=1, gc=0, mean=0.9, labels=(words, "best"))], [], words)


def _search(words: str) -> SearchView:
    row = example(MeasuredView, gm=1, gc=0, mean=0.9, labels=(words,))
    return example(SearchView, name=words, metric=words, stages=[example(StageView, candidates=[row])], test=[row])


def _curves(words: str) -> Figure:
    figures: dict[str, Any] = {"epoch": (1,), "mean": (0.5,), "low": (0.4,), "high": (0.7,), "n": (3,)}
    return charts.curves_chart([CurveView(variant=name, gm=1, gc=0, **figures) for name in (words, "main")], words)


def _heat_map(words: str) -> Figure:
    rows = [example(CandidateView, variant=words, gm=gm, gc=0, mean=0.9) for gm in (1, 2)]
    return charts.heat_map(rows, words, words)


def _trials(words: str) -> list[TrialRow]:
    where = TrialLocation(host=words)
    return [example(TrialRow, variant=name, stage=words, value=0.9, where=where) for name in (words, "main")]


def _trial(words: str) -> Figure:
    return charts.trial_chart([EpochView(epoch=1, values={words: 0.5, f"loss {words}": 0.5})], words)


DRAWN: dict[str, Callable[[str], Figure]] = {
    "stage_chart": _stage,
    "test_chart": _test,
    "compare_chart": lambda words: charts.compare_chart([_search(words), _search("other")]),
    "compare_test_chart": lambda words: charts.compare_test_chart([_search(words), _search("other")]),
    "curves_chart": _curves,
    "heat_map": _heat_map,
    "parallel_chart": lambda words: charts.parallel_chart(_trials(words), "max", words),
    "timeline_chart": lambda words: charts.timeline_chart(_trials(words), 1.0),
    "trial_chart": _trial,
}


def texts(value: Any) -> Iterator[str]:
    """Go over every string in a JSON value."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(part)


def test_every_chart_is_drawn_here() -> None:
    assert {*DRAWN} == {*charts.__all__} - {"best_candidates"}


@pytest.mark.parametrize("name", DRAWN)
def test_what_a_person_wrote_is_text_in_every_figure(name: str) -> None:
    figure = DRAWN[name](WORDS)
    found = [*texts(figure.data), *texts(figure.layout)]
    for text in found:
        rest = OWN_MARKUP.sub("", text)
        assert not set("<>") & set(rest), text
        assert not re.search(r"&(?!amp;|lt;|gt;)", rest), text
    assert any(WORDS in unescape(text) for text in found), "as it was written"


def test_words_are_no_part_of_a_template() -> None:
    """A template has places such as ``%{x}``, which Plotly fills in."""
    for draw in DRAWN.values():
        templates = [
            trace[kind] for trace in draw("%{x}").data for kind in ("hovertemplate", "texttemplate") if kind in trace
        ]
        assert templates == [
            trace[kind] for trace in draw("other").data for kind in ("hovertemplate", "texttemplate") if kind in trace
        ]


def test_a_figure_has_no_meta_to_fill_names_from() -> None:
    """With it, Plotly would fill ``%{meta}`` in a name or an axis title."""
    for draw in DRAWN.values():
        figure = draw("%{meta}")
        assert "meta" not in figure.layout
        assert not any("meta" in trace for trace in figure.data)
