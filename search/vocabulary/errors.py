"""The exceptions that users see.

SearchError
├── InvalidSpec      the request is not valid; nothing was stored
├── NotFound         no search has that id
├── Conflict         the search is not in a state that allows this
├── Denied           a service does not know the caller, or does not allow this
├── StoreUnavailable the database cannot be opened, read or written
├── Busy             a service has no capacity for this now
├── TooLarge         a service does not take so much at once
├── TooSlow          what was sent did not arrive in time
├── RayUnavailable   no Ray can be started or reached
└── Fenced           another driver holds the search; this one must stop writing
"""

from __future__ import annotations


class SearchError(Exception):
    """Base class; the message says rule, received value and remedy."""


class InvalidSpec(SearchError, ValueError):
    """The request is not valid; nothing was stored."""


class NotFound(SearchError, LookupError):
    """No search has that id."""


class Conflict(SearchError):
    """The search is not in a state that allows this."""


class Denied(SearchError):
    """A service does not know the caller, or does not allow this."""


class StoreUnavailable(SearchError):
    """The database cannot be opened, read or written."""


class Busy(SearchError):
    """A service has no capacity for this now."""


class TooLarge(SearchError):
    """A service does not take so much at once."""


class TooSlow(SearchError):
    """What was sent did not arrive in time."""


class RayUnavailable(SearchError):
    """No Ray can be started or reached."""


class Fenced(SearchError):
    """Another driver holds the search; this one must stop writing."""
