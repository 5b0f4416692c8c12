"""What can go wrong, as a person meets it.

SearchError
├── InvalidSpec      the search cannot be run as asked; nothing was stored
├── NotFound         no search has that id
├── Conflict         the search is not in a state that allows this
├── Denied           a service does not know who asks, or does not let them
├── StoreUnavailable the database cannot be opened, read or written
└── Fenced           another driver holds the search; this one must stop writing
"""

from __future__ import annotations


class SearchError(Exception):
    """Base of the errors below; the message says rule, received value and remedy."""


class InvalidSpec(SearchError, ValueError):
    """The search cannot be run as asked; nothing was stored."""


class NotFound(SearchError, LookupError):
    """No search has that id."""


class Conflict(SearchError):
    """The search is not in a state that allows this."""


class Denied(SearchError):
    """A service does not know who asks, or does not let them."""


class StoreUnavailable(SearchError):
    """The database cannot be opened, read or written."""


class Fenced(SearchError):
    """Another driver holds the search; this one must stop writing."""
