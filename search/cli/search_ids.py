"""Finds the search that a person names: by its id, by the start of its id, or as ``last``."""

from __future__ import annotations

from search.cli.advice import advise_start
from search.cli.backends import make_backend
from search.settings import Settings
from search.views import SearchRow
from search.vocabulary.errors import InvalidSpec, NotFound

LAST = "last"  # no id begins like it: ids have no l
LENGTH = 10  # of an id
MAX_NAMED = 5  # candidates of an ambiguous start
MAX_COMPLETED = 30  # ids that a shell offers


def find_id(settings: Settings, given: str, changing: str = "") -> str:
    """Return the id of the search that ``given`` names; anything else is returned as it is.

    Args:
        settings: say where searches are.
        given: by the user.
        changing: the command, if it changes the search: the newest one at a service may be somebody else's.

    Raises:
        InvalidSpec: if several ids start so, or ``last`` would change a search at a service.
        NotFound: if there is no last one.
    """
    if len(given) >= LENGTH or not given:
        return given
    if given == LAST and changing and settings.url:
        raise InvalidSpec(
            f"at a service, {changing} needs the id of a search: got last, which may be somebody else's. "
            "List them with: seqnorm list"
        )
    backend = make_backend(settings)
    if given == LAST:
        newest = backend.searches(1)
        if not newest:
            raise NotFound(f"`last` needs a search: there is none yet. {advise_start(settings)}")
        return newest[0].search
    pages = (backend.searches(MAX_NAMED + 1, id=given, archived=archived) for archived in (False, True))
    found = [row for page in pages for row in page if row.search.startswith(given)]  # an older service ignores `id`
    if len(found) > 1:
        more = ", …" if len(found) > MAX_NAMED else ""
        raise InvalidSpec(
            f"the start of an id must match one search: got {given!r}, which matches "
            f"{', '.join(map(_describe, found[:MAX_NAMED]))}{more}. Give more of it."
        )
    return found[0].search if found else given


def complete(settings: Settings, start: str) -> list[tuple[str, str]]:
    """Return the newest ids on this machine that start so, with status and recipe; the database is not migrated.

    Names are left out: they are anybody's words, and zsh evaluates what it is offered.
    """
    from search.store import queries
    from search.store.database import open_engine

    if settings.url:  # a service may be slow to answer
        return []
    engine = open_engine(settings.database_url, read_only=True)
    try:
        with engine.connect() as connection:
            rows = queries.list_searches(connection, id=start, limit=MAX_COMPLETED)
    finally:
        engine.dispose()
    return [*((row.search, f"{row.status}, {row.recipe}") for row in rows), (LAST, "the newest search")]


def _describe(row: SearchRow) -> str:
    return f"{row.search} ({', '.join(filter(None, (row.status, row.recipe, row.name)))})"
