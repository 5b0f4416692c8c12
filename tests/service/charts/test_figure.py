"""What every figure shares."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice

import plotly.graph_objects as go

from service.charts.figure import SERIES, colors, to_figure, with_opacity


def test_a_figure_is_json_laid_out_as_all_are_but_for_what_is_said() -> None:
    figure = to_figure(
        go.Figure(go.Scatter(x=[1, 2], y=[0.5, float("nan")])),
        "accuracy",
        xaxis={"title": {"text": "epoch"}},
        yaxis={"range": [0, 1]},
        height=500,
    )
    assert figure.data == [{"type": "scatter", "x": [1, 2], "y": [0.5, None]}], "JSON has no number that is not finite"
    assert figure.layout["xaxis"]["title"]["text"] == "epoch"
    assert (figure.layout["yaxis"]["title"]["text"], figure.layout["yaxis"]["range"]) == ("accuracy", [0, 1])
    assert (figure.layout["height"], figure.layout["paper_bgcolor"]) == (500, "rgba(0,0,0,0)")


def test_colours_go_round() -> None:
    assert list(islice(colors(), len(SERIES) + 1)) == [*SERIES, SERIES[0]]


def test_a_faded_colour_lets_the_ground_through() -> None:
    assert with_opacity("#5b8dd6", 0.15) == "rgba(91,141,214,0.15)"


DRAW_WHILE_IMPORTING = """
import importlib.abc, sys, threading, time

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith("numpy.") and threading.current_thread().name == "importing":
            time.sleep(0.05)

sys.meta_path.insert(0, Slow())
from service.charts.figure import to_figure
import plotly.graph_objects as go
importing = threading.Thread(target=lambda: __import__("numpy"), name="importing")
importing.start()
while importing.is_alive():
    to_figure(go.Figure(go.Scatter(x=[1, 2], y=[0.5, 0.25])), "loss", xaxis={})
"""


def test_a_figure_is_drawn_while_another_thread_imports_numpy() -> None:
    drawn = subprocess.run([sys.executable, "-c", DRAW_WHILE_IMPORTING], capture_output=True, text=True, timeout=120)
    assert drawn.returncode == 0, drawn.stderr
