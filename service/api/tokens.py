"""Tokens and the audit trail, for admins."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from search.views import AuditView, NewTokenView, TokenView
from search.vocabulary.states import Action
from service import accounts
from service.accounts.tokens import shown
from service.api.parameters import After, Filter, Limit
from service.database import Reading, Store
from service.middleware.access import Known

router = APIRouter()
DAY = 24 * 3600.0


class NewToken(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(max_length=100, description="what it is for")
    owner: str = Field(max_length=64, description="whose it is")
    scopes: list[Literal["read", "submit", "manage", "admin"]] = Field(min_length=1, max_length=4)
    days: float | None = Field(90, gt=0, le=36500, allow_inf_nan=False, description="until it expires; null for never")


@router.get("/tokens")
def list_tokens(store: Reading) -> list[TokenView]:
    """List tokens without their secrets, revoked and expired ones too."""
    return [shown(token) for token in accounts.list_tokens(store)]


@router.post("/tokens", status_code=201)
def create_token(stores: Store, caller: Known, body: NewToken) -> NewTokenView:
    """Make a token; ``text`` is shown this once."""
    lasts = None if body.days is None else body.days * DAY
    with stores.write() as connection:
        token, text = accounts.create_token(
            connection, name=body.name, owner=body.owner, scopes=body.scopes, lasts=lasts
        )
        said = {"owner": token.owner, "scopes": list(token.scopes)}
        accounts.record(connection, caller.token, Action.CREATE_TOKEN, token.id, said)
    return NewTokenView(token=shown(token), text=text)


@router.delete("/tokens/{id}", status_code=204)
def revoke_token(stores: Store, caller: Known, id: str) -> None:
    """Refuse a token from now on, and end its sessions."""
    with stores.write() as connection:
        accounts.revoke(connection, id)
        accounts.record(connection, caller.token, Action.REVOKE_TOKEN, id, {})


@router.get("/audit")
def list_audit(store: Reading, subject: Filter = None, after: After = 0, limit: Limit = 200) -> list[AuditView]:
    """List who did what, oldest first: to one search or token, or to all."""
    return accounts.list_audit(store, subject, after, limit)
