"""Tokens and the audit trail, for admins."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from search.plan.request import RequestModel
from search.views import AuditView, NewTokenView, TokenView
from search.vocabulary.states import Action
from service import accounts
from service.accounts.tokens import to_view
from service.api.parameters import After, Filter, Limit
from service.database import AppDatabase, ReadConnection
from service.middleware.access import CurrentCaller
from service.route import OneVisitRoute

router = APIRouter(route_class=OneVisitRoute)
DAY_SECONDS = 24 * 3600.0


class NewToken(RequestModel):
    """A token to create."""

    model_config = ConfigDict(strict=True)

    name: str = Field(max_length=100, description="what it is for")
    owner: str = Field(max_length=64, description="whose searches it submits and changes")
    scopes: list[Literal["read", "submit", "manage", "admin"]] = Field(min_length=1, max_length=4)
    days: float | None = Field(
        90, gt=0, le=36500, allow_inf_nan=False, description="days until it expires; null for never"
    )


@router.get("/tokens")
def list_tokens(connection: ReadConnection) -> list[TokenView]:
    """List all tokens, revoked and expired ones included, without their secrets."""
    return [to_view(token) for token in accounts.list_tokens(connection)]


@router.post("/tokens", status_code=201)
def create_token(database: AppDatabase, caller: CurrentCaller, body: NewToken) -> NewTokenView:
    """Create a token. Only this response contains its ``text``."""
    lifetime = None if body.days is None else body.days * DAY_SECONDS
    with database.write() as connection:
        token, text = accounts.create_token(
            connection, name=body.name, owner=body.owner, scopes=body.scopes, lifetime=lifetime
        )
        detail = {"owner": token.owner, "scopes": list(token.scopes)}
        accounts.record_action(connection, caller.token, Action.CREATE_TOKEN, token.id, detail)
    return NewTokenView(token=to_view(token), text=text)


@router.delete("/tokens/{id}", status_code=204)
def revoke_token(
    database: AppDatabase, caller: CurrentCaller, id: Annotated[str, Path(max_length=64, pattern=r"^[^\x00-\x1f]*$")]
) -> None:
    """Revoke a token and end its sessions."""
    with database.write() as connection:
        accounts.revoke_token(connection, id)
        accounts.record_action(connection, caller.token, Action.REVOKE_TOKEN, id, {})


@router.get("/audit")
def list_audit(
    connection: ReadConnection, subject: Filter = None, after: After = 0, limit: Limit = 200
) -> list[AuditView]:
    """List the audit trail, oldest first; of one search or token if ``subject`` is given."""
    return accounts.list_audit(connection, subject, after, limit)
