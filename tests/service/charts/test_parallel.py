"""Every finished trial a line through its parameters and its metric."""

from __future__ import annotations

import re

from search.views import TrialRow
from service.charts import parallel_chart
from service.charts.parallel import MAX_LINES
from tests.search.examples import example
from tests.service.charts.traces import traces


def test_a_line_of_a_trial_goes_through_its_parameters_and_the_best_are_told_apart() -> None:
    dots = [example(TrialRow, gm=gm, seed=seed, value=0.8 + seed / 1e5) for seed in range(5) for gm in (1, 2)]
    drawn = traces(parallel_chart(dots, "max", "accuracy"))
    best, worst = drawn["best fifth"], drawn["worst fifth"]
    assert len([y for y in best["y"] if y is None]) == len(dots) // 5
    assert min(y for y in best["y"][3::5]) > max(y for y in worst["y"][3::5])
    assert max(y for y in traces(parallel_chart(dots, "min", "loss"))["best fifth"]["y"][3::5]) < 0.1


def test_of_more_trials_than_lines_the_newest_are_drawn_and_that_is_said() -> None:
    dots = [example(TrialRow, seed=n, value=0.9) for n in range(MAX_LINES + 9)]
    drawn = parallel_chart(dots, "max", "accuracy")
    said = [words for trace in drawn.data for words in trace["customdata"] if words]
    assert {int(re.findall(r"seed (\d+)", words)[0]) for words in said} == set(range(9, MAX_LINES + 9))
    assert drawn.layout["xaxis"]["title"]["text"] == "the newest 500 trials"
    written = [note["text"] for note in drawn.layout["annotations"] if note["text"].startswith("seed=")]
    assert len(written) <= 12, "more values at an axis run into one another"
    few = parallel_chart(dots[:12], "max", "accuracy")
    assert few.layout["xaxis"]["title"]["text"] == ""
    assert len([note for note in few.layout["annotations"] if note["text"].startswith("seed=")]) == 12
