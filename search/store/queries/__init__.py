"""What pages and commands read: paged, filtered and aggregated in SQL, never through Optuna's reader."""

from search.store.queries.curves import learning_curves
from search.store.queries.events import list_events
from search.store.queries.searches import list_searches, show_search
from search.store.queries.trials import Sort, list_trials, seeds_of, show_trial

__all__ = [
    "Sort",
    "learning_curves",
    "list_events",
    "list_searches",
    "list_trials",
    "seeds_of",
    "show_search",
    "show_trial",
]
