"""Parameters that several routes share, with their checks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query

from search.plan.registry import OneOf
from search.plan.stages import list_stages
from search.store import searches
from search.vocabulary.errors import Denied, NotFound
from service.database import ReadConnection
from service.middleware.access import CurrentCaller

MAX_INTEGER = 2**31 - 1  # the largest INTEGER of every supported database

StageName = Annotated[str, OneOf(dict.fromkeys(list_stages()))]
TrialNumber = Annotated[int, Path(ge=0, le=MAX_INTEGER)]
GroupCount = Annotated[int | None, Query(ge=0, le=MAX_INTEGER)]
After = Annotated[int, Query(ge=0, le=MAX_INTEGER)]
Limit = Annotated[int, Query(ge=1, le=500)]
Filter = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00-\x1f]*$")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="a unique key that the client makes up; a request repeated with it is carried out once",
    ),
]


def require_visible(id: Annotated[str, Path(max_length=64)], connection: ReadConnection, caller: CurrentCaller) -> str:
    """Return the id of a search if the caller may see it.

    Raises:
        NotFound: if it does not exist, or the caller may not see it.
    """
    if not caller.can_see(searches.get(connection, id).owner):
        raise NotFound(f"no search has the id {id!r}. List them with: seqnorm list")
    return id


def require_changeable(
    id: Annotated[str, Depends(require_visible, scope="function")], connection: ReadConnection, caller: CurrentCaller
) -> str:
    """Return the id of a search if the caller may change it.

    Raises:
        Denied: if not.
    """
    owner = searches.get(connection, id).owner
    if not caller.can_change(owner):
        raise Denied(
            f"this search is {owner}'s: got a token of {caller.token.owner} with {', '.join(caller.token.scopes)}. "
            "Changing one's own searches needs the scope submit, others' the scope manage."
        )
    return id


VisibleId = Annotated[str, Depends(require_visible, scope="function")]
ChangeableId = Annotated[str, Depends(require_changeable, scope="function")]
