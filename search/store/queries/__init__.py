"""Reads for pages and commands: paged, filtered and aggregated in SQL, never through Optuna."""

from search.store.queries.cluster import show_cluster
from search.store.queries.curves import learning_curves
from search.store.queries.events import list_events, newest_events, read_version
from search.store.queries.gains import compare_searches
from search.store.queries.retention import find_ended, find_known
from search.store.queries.searches import (
    SearchSort,
    count_active,
    list_searches,
    read_metric,
    seconds_per_trial,
    show_search,
)
from search.store.queries.trials import (
    Sort,
    find_trial,
    list_newest_tuning,
    list_quartiles,
    list_seed_values,
    list_trials,
    show_trial,
)

__all__ = [
    "SearchSort",
    "Sort",
    "compare_searches",
    "count_active",
    "find_ended",
    "find_known",
    "find_trial",
    "learning_curves",
    "list_events",
    "list_newest_tuning",
    "list_quartiles",
    "list_searches",
    "list_seed_values",
    "list_trials",
    "newest_events",
    "read_metric",
    "read_version",
    "seconds_per_trial",
    "show_cluster",
    "show_search",
    "show_trial",
]
