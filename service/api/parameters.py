"""Parameters that several routes share, with their checks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query
from pydantic import StringConstraints

from search.plan.stages import MAX_STAGE_NAME, STAGE_NAME
from search.store import searches
from search.store.database import Connection
from search.vocabulary.errors import Denied, NotFound
from service.database import LaterConnection
from service.middleware.access import Caller, CurrentCaller
from service.route import Later

MAX_INTEGER = 2**31 - 1  # the largest INTEGER of every supported database

StageName = Annotated[str, StringConstraints(pattern=STAGE_NAME, max_length=MAX_STAGE_NAME)]
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


SearchId = Annotated[str, Path(max_length=64)]


def require_visible(id: str, connection: Connection, caller: Caller) -> str:
    """Return the id of a search if the caller may see it.

    Raises:
        NotFound: if it does not exist, or the caller may not see it.
    """
    if not caller.can_see(searches.get_owner(connection, id)):
        raise NotFound(f"no search has the id {id!r}. List them with: seqnorm list")
    return id


def require_changeable(id: str, connection: Connection, caller: Caller) -> str:
    """Return the id of a search if the caller may change it.

    Raises:
        NotFound: if it does not exist, or the caller may not see it.
        Denied: if the caller may only see it.
    """
    owner = searches.get_owner(connection, require_visible(id, connection, caller))
    if not caller.can_change(owner):
        raise Denied(
            f"this search is {owner}'s: got a token of {caller.token.owner} with {', '.join(caller.token.scopes)}. "
            "Changing one's own searches needs the scope submit, others' the scope manage."
        )
    return id


async def get_visible_id(id: SearchId, connection: LaterConnection, caller: CurrentCaller) -> Later[str]:
    """Return the id of a search that the caller may see; checked in the thread of the route."""
    return Later(lambda stack: require_visible(id, connection.get(stack), caller))


async def get_changeable_id(id: SearchId, connection: LaterConnection, caller: CurrentCaller) -> Later[str]:
    """Return the id of a search that the caller may change; checked in the thread of the route."""
    return Later(lambda stack: require_changeable(id, connection.get(stack), caller))


VisibleId = Annotated[str, Depends(get_visible_id)]
ChangeableId = Annotated[str, Depends(get_changeable_id)]
