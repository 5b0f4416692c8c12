"""Logging of workers, drivers and the service to stderr, as text or JSON, without secrets.

Secrets are redacted in the formatted text, tracebacks included, so it does not matter who logs them. They are found by
their form, and by their value if the settings contain it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO
from urllib.parse import parse_qs, unquote

from search.settings import ENV_PREFIX, Settings
from search.vocabulary.formatting import show_controls
from search.vocabulary.outcome import last_line
from search.vocabulary.secret import redact
from search.vocabulary.sentences import own_sentences

FIELDS = ("search", "status", "method", "route", "ms", "token", "delivery", "target")  # extra fields of a record
_LIBRARY_VARIABLES = ("PGPASSWORD", "RAY_AUTH_TOKEN")  # variables with secrets besides the settings
MIN_SECRET_LENGTH = 6  # characters; shorter text would match everywhere
MIN_KEY_LENGTH = 20  # characters; a longer webhook path may contain a key, as in chat services

_LIBRARY_LEVEL = logging.WARNING  # lower levels of libraries log URLs


def configure(settings: Settings, **fields: str) -> None:
    """Configure logging of this process to stderr, including uncaught exceptions of all threads.

    Args:
        settings: the format, and the secrets to redact.
        fields: added to every record.
    """
    root = logging.getLogger()
    root.handlers = [_make_handler(settings.log_format, known_secrets(settings), fields)]
    root.setLevel(_LIBRARY_LEVEL)
    for ours in ("search", "service"):
        logging.getLogger(ours).setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda end: _log_uncaught(end.exc_type, end.exc_value, end.exc_traceback)


def log_error(message: str) -> None:
    """Log why a process exits, even before logging is configured."""
    ours = [handler for handler in logging.getLogger().handlers if isinstance(handler, _StderrHandler)]
    handler = ours[0] if ours else _make_handler(os.environ.get(f"{ENV_PREFIX}LOG_FORMAT", ""), (), {})
    handler.handle(logging.LogRecord("search", logging.ERROR, "", 0, message, None, None))


def capture_library(library: str) -> None:
    """Route the logs of a library through our handler."""
    logger = logging.getLogger(library)
    logger.handlers.clear()
    logger.propagate = True


def known_secrets(settings: Settings, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the configured secrets, longest first, because one may contain another."""
    token, key, database = settings.token.reveal(), settings.webhook_secret.reveal(), settings.database_url.reveal()
    targets = [url.reveal() for url in settings.webhook_urls]
    found = {token, key, key.removeprefix("whsec_")}
    found |= {environ.get(variable, "") for variable in _LIBRARY_VARIABLES}
    found |= set(parse_qs(_split(database)[2]).get("password", []))
    for url in (database, *targets):
        account, path, _ = _split(url)
        user, _, password = account.partition(":")
        found |= {password, unquote(password)} - {user, path}  # not secret if also shown elsewhere in the URL
    for url in targets:
        _, path, query = _split(url)
        found |= {query, path if len(path) >= MIN_KEY_LENGTH else ""}
    return tuple(sorted((secret for secret in found if len(secret) >= MIN_SECRET_LENGTH), key=len, reverse=True))


def _split(url: str) -> tuple[str, str, str]:
    """Return account, path and query of a URL. ``urlsplit`` refuses some passwords, and quotes them."""
    account, _, rest = url.partition("://")[2].rpartition("@")
    where, _, query = rest.partition("?")
    return account, where.partition("/")[2].partition("#")[0].strip("/"), query.partition("#")[0]


def last_message(printed: str) -> str:
    """Return what a log in either format says last, at most 500 characters; of an exception its own sentence."""
    printed = own_sentences(printed).rstrip()
    line = (printed.splitlines() or [""])[-1]
    try:
        return last_line(str(json.loads(line)["message"]))
    except (ValueError, TypeError, KeyError):
        return last_line(printed if line[:1].isspace() else line)  # an exception's sentence may go on, indented


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class _TextFormatter(logging.Formatter):
    """Formats records as text: the message, with the level if above INFO."""

    def __init__(self, known: Iterable[str], fields: Mapping[str, str]) -> None:
        super().__init__()
        self._known = tuple(known)
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        if record.levelno > logging.INFO:
            message = f"{record.levelname.lower()}: {message}"
        return show_controls(redact(own_sentences(message), self._known))


class _JsonFormatter(_TextFormatter):
    """Formats records as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        own = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            own["exception"] = self.formatException(record.exc_info)
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._fields,
            **own,
        }
        return json.dumps({name: self._clean(value) for name, value in entry.items()})

    def _clean(self, value: object) -> object:
        return value if isinstance(value, int | float) else redact(own_sentences(str(value)), self._known)


def _make_handler(log_format: str, known: Iterable[str], fields: Mapping[str, str]) -> logging.Handler:
    handler = _StderrHandler()
    handler.setFormatter((_JsonFormatter if log_format == "json" else _TextFormatter)(known, fields))
    return handler


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is None or not issubclass(kind, Exception):
        return sys.__excepthook__(kind, error or kind(), trace)
    message = f"{kind.__name__}: {error}"
    logging.getLogger("search").critical("%s", message, exc_info=(kind, error, trace))
