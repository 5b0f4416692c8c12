"""Figures as Plotly JSON."""

from service.charts.candidates import stage_chart, test_chart
from service.charts.curves import curves_chart
from service.charts.heatmap import heat_map
from service.charts.trial import trial_chart

__all__ = ["curves_chart", "heat_map", "stage_chart", "test_chart", "trial_chart"]
