"""Who may use the service and what they did: tokens, sessions, answers to repeated requests, audit.

Every function works inside the caller's transaction, so that what it writes is kept together with what it is about.
"""

from service.accounts.audit import NOBODY, list_audit, newest_audit, record
from service.accounts.replies import Answer, begin_reply, keep_reply
from service.accounts.sessions import close_session, open_link, open_session, redeem_link, session_of, sweep
from service.accounts.tokens import SCOPES, Token, create_token, list_tokens, revoke, token_of, touch

__all__ = [
    "NOBODY",
    "SCOPES",
    "Answer",
    "Token",
    "begin_reply",
    "close_session",
    "create_token",
    "keep_reply",
    "list_audit",
    "list_tokens",
    "newest_audit",
    "open_link",
    "open_session",
    "record",
    "redeem_link",
    "revoke",
    "session_of",
    "sweep",
    "token_of",
    "touch",
]
