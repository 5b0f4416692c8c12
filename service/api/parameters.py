"""Parameters that several routes take, and the checks that come with them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query

from search.plan.registry import OneOf
from search.plan.stages import list_stages
from search.store import searches
from search.vocabulary.errors import Denied, NotFound
from service.database import Reading
from service.middleware.access import Known

LARGEST = 2**31 - 1  # of an INTEGER in every database

StageName = Annotated[str, OneOf(dict.fromkeys(list_stages()))]
TrialNumber = Annotated[int, Path(ge=0, le=LARGEST)]
GroupCount = Annotated[int | None, Query(ge=0, le=LARGEST)]
After = Annotated[int, Query(ge=0, le=LARGEST)]
Limit = Annotated[int, Query(ge=1, le=500)]
Filter = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00-\x1f]*$")]
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", description="of your making; a request repeated with it is done once")
]


def visible(id: Annotated[str, Path(max_length=64)], store: Reading, caller: Known) -> str:
    """Return the id of a search that the caller may see.

    Raises:
        NotFound: if there is none, or it is somebody else's and the token shows one's own alone.
    """
    if not caller.sees(searches.get(store, id).owner):
        raise NotFound(f"no search has the id {id!r}. List them with: seqnorm list")
    return id


def changeable(id: Annotated[str, Depends(visible, scope="function")], store: Reading, caller: Known) -> str:
    """Return the id of a search that the caller may steer.

    Raises:
        Denied: if it is somebody else's, or the token only reads.
    """
    owner = searches.get(store, id).owner
    if not caller.changes(owner):
        raise Denied(
            f"this search is {owner}'s: got a token of {caller.token.owner} with {', '.join(caller.token.scopes)}. "
            "Steering one's own needs the scope submit, others' the scope manage."
        )
    return id


Visible = Annotated[str, Depends(visible, scope="function")]
Changeable = Annotated[str, Depends(changeable, scope="function")]
