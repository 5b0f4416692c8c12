"""Text that is used and never shown, and what takes secrets out of any other text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Never

HIDDEN = "[redacted]"

# Repeats are bounded: without that, a long word that a recipe prints costs minutes under the handler's lock.
_SENSITIVE_NAMES = r"(?:token|passw(?:or)?d|secret|api[-_]?key)\w{0,32}"
_SECRET_FORMS = tuple(
    re.compile(form)
    for form in (
        r"(\bseqnorm_[0-9a-z]{12}_)[\w-]+",  # a token; its id may be shown
        r"(?i)(\b(?:bearer|basic) +)[\w.~+/=-]{8,}",
        r"(?i)((?:[?&]|%3F|%26)code(?:=|%3D))[^\s&%\"']+",  # of a login link
        rf"(?i)({_SENSITIVE_NAMES}[\"']?\s{{0,2}}(?:[=:,]|%3D)\s{{0,2}}b?[\"'])[^\"'\r\n]+",
        rf"(?i)({_SENSITIVE_NAMES}\s?(?:=|%3D)\s?)[^\s&%\"',;]+",
        rf"(?i)({_SENSITIVE_NAMES}(?::\s{{0,2}}|\s))(?=\S{{0,64}}\d)[^\s&%\"',;]{{8,}}",  # a sentence goes on
        r"(?i)(\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@]*:)[^\s\"'<>]*(?=@)",  # to the last @, as a password may have one
        r"(\bseqnorm_session=)[^\s;,\"']+",
        r"(?i)(\b(?:set-)?cookie[\"']?[:,] *b?[\"']?)[^\r\n\"']+",
        r"(\bwhsec_)[\w+/=-]+",
    )
)
# A text that is known to be a URL hides more: whatever characters stand between the two marks are the password's.
_USER_PASSWORD = re.compile(r"^([^:/]+://[^:/@]*:).*(?=@)", re.DOTALL)
_QUERY_SECRET = re.compile(rf"(?i)([?&]\w{{0,32}}{_SENSITIVE_NAMES}=)[^&]*")


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return a text without what looks like a secret, and without the ``known`` ones."""
    for secret in known:
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    for form in _SECRET_FORMS:
        text = form.sub(rf"\1{HIDDEN}", text)
    return text


class Secret:
    """Text that no print, log line, traceback or JSON shows; :meth:`reveal` gives it to who has a use for it."""

    __slots__ = ("_text",)

    def __init__(self, text: str | Secret = "") -> None:
        self._text: str = reveal(text)

    def reveal(self) -> str:
        """Return the text. What is done with it must not show it."""
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

    def __deepcopy__(self, memo: object) -> Secret:  # dataclasses.asdict copies so
        return self

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not pickled: got one among what is sent or kept. Send what its use needs instead.")


class SecretUrl(Secret):
    """A URL that may hold a password; the rest of it is shown."""

    __slots__ = ()

    def __str__(self) -> str:
        if "://" not in self._text:
            return "text that is no URL" if self._text else ""
        return redact(_QUERY_SECRET.sub(rf"\1{HIDDEN}", _USER_PASSWORD.sub(rf"\1{HIDDEN}", self._text)))


def reveal(text: str | Secret) -> str:
    """Return a text that may be a secret."""
    return text.reveal() if isinstance(text, Secret) else text
