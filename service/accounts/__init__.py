"""Who may use the service and what they did: tokens, sessions, idempotency keys, audit trail.

Every function works inside the caller's transaction, so that its writes commit together with the change they belong to.
"""

from service.accounts.audit import LOCAL_OWNER, list_audit, list_newest_audit, record_action
from service.accounts.idempotency import StoredResponse, claim_key, store_response
from service.accounts.sessions import (
    authenticate_session,
    close_session,
    create_login_link,
    delete_expired,
    is_login_link,
    open_session,
    redeem_login_link,
)
from service.accounts.tokens import SCOPES, Token, authenticate_token, create_token, list_tokens, revoke_token, touch

__all__ = [
    "LOCAL_OWNER",
    "SCOPES",
    "StoredResponse",
    "Token",
    "authenticate_session",
    "authenticate_token",
    "claim_key",
    "close_session",
    "create_login_link",
    "create_token",
    "delete_expired",
    "is_login_link",
    "list_audit",
    "list_newest_audit",
    "list_tokens",
    "open_session",
    "record_action",
    "redeem_login_link",
    "revoke_token",
    "store_response",
    "touch",
]
