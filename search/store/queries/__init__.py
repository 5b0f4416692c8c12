"""What pages and commands read: paged, filtered and aggregated in SQL, never through Optuna's reader."""

from search.store.queries.cluster import show_cluster
from search.store.queries.curves import learning_curves
from search.store.queries.events import list_events, newest_events, version_of
from search.store.queries.retention import ended_before, known_among
from search.store.queries.searches import (
    SearchSort,
    count_active,
    list_searches,
    measure_of,
    seconds_per_trial,
    show_search,
)
from search.store.queries.trials import Sort, list_trials, newest_tuning, quartiles_of, seeds_of, show_trial

__all__ = [
    "SearchSort",
    "Sort",
    "count_active",
    "ended_before",
    "known_among",
    "learning_curves",
    "list_events",
    "list_searches",
    "list_trials",
    "measure_of",
    "newest_events",
    "newest_tuning",
    "quartiles_of",
    "seconds_per_trial",
    "seeds_of",
    "show_cluster",
    "show_search",
    "show_trial",
    "version_of",
]
