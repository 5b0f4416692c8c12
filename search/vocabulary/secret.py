"""Secrets that are never printed, and removal of secrets from other text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Never

HIDDEN = "[redacted]"

# Repeats are bounded: otherwise a long word in a recipe's output takes minutes under the handler's lock.
_SENSITIVE_NAMES = r"(?:token|passw(?:or)?d|secret|api[-_]?key)\w{0,32}"
_SECRET_FORMS = tuple(
    re.compile(form)
    for form in (
        r"(\bseqnorm_[0-9a-z]{12}_)[\w-]+",  # a token; its id is public
        r"(?i)(\b(?:bearer|basic) +)[\w.~+/=-]{8,}",
        r"(?i)((?:[?&]|%3F|%26)code(?:=|%3D))[^\s&%\"']+",  # in a login link
        rf"(?i)({_SENSITIVE_NAMES}[\"']?\s{{0,2}}(?:[=:,]|%3D)\s{{0,2}}b?[\"'])[^\"'\r\n]+",
        rf"(?i)({_SENSITIVE_NAMES}\s?(?:=|%3D)\s?)[^\s&%\"',;]+",
        rf"(?i)({_SENSITIVE_NAMES}(?::\s{{0,2}}|\s))(?=\S{{0,64}}\d)[^\s&%\"',;]{{8,}}",  # a sentence goes on
        r"(?i)(\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@]*:)[^\s\"'<>]*(?=@)",  # passwords may contain @
        r"(\bseqnorm_session=)[^\s;,\"']+",
        r"(?i)(\b(?:set-)?cookie[\"']?[:,] *b?[\"']?)[^\r\n\"']+",
        r"(\bwhsec_)[\w+/=-]+",
    )
)
# In a known URL more can be redacted: every character between the two delimiters belongs to the password.
_USER_PASSWORD = re.compile(r"^([^:/]+://[^:/@]*:).*(?=@)", re.DOTALL)
_PASSWORD_FOR_PORT = re.compile(r"^([^:/]+://[^:/@\[]*:)(?!\d*(?:[/?]|$)).*", re.DOTALL)  # where the @ is missing
_QUERY_SECRET = re.compile(rf"(?i)([?&]\w{{0,32}}{_SENSITIVE_NAMES}=)[^&]*")


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Replace everything that looks like a secret, and the ``known`` secrets."""
    for secret in known:
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    for form in _SECRET_FORMS:
        text = form.sub(rf"\1{HIDDEN}", text)
    return text


class Secret:
    """Text that is hidden in prints, logs, tracebacks and JSON; :meth:`reveal` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str | Secret = "") -> None:
        self._text: str = reveal(text)

    def reveal(self) -> str:
        """Return the text. Callers must not print or log it."""
        return self._text

    def __str__(self) -> str:
        return HIDDEN if self._text else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:  # used by dataclasses.asdict
        return self

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not pickled: got one among what is sent or kept. Send what its use needs instead.")


class SecretUrl(Secret):
    """A URL that may contain a password; the rest of it is shown."""

    __slots__ = ()

    def __str__(self) -> str:
        if "://" not in self._text:
            return "text that is not a URL" if self._text else ""
        form = _USER_PASSWORD if "@" in self._text else _PASSWORD_FOR_PORT
        return redact(_QUERY_SECRET.sub(rf"\1{HIDDEN}", form.sub(rf"\1{HIDDEN}", self._text)))


def reveal(text: str | Secret) -> str:
    """Return the text of a secret, or plain text as it is."""
    return text.reveal() if isinstance(text, Secret) else text
