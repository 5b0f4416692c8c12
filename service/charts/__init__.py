"""Figures as Plotly JSON."""

from service.charts.candidates import best_candidates, stage_chart, test_chart
from service.charts.compare import compare_chart, compare_test_chart
from service.charts.curves import curves_chart
from service.charts.heatmap import heat_map
from service.charts.parallel import parallel_chart
from service.charts.timeline import timeline_chart
from service.charts.trial import trial_chart

__all__ = [
    "best_candidates",
    "compare_chart",
    "compare_test_chart",
    "curves_chart",
    "heat_map",
    "parallel_chart",
    "stage_chart",
    "test_chart",
    "timeline_chart",
    "trial_chart",
]
