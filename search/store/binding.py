"""The host and the user that a search is bound to: one that was made from a script or a command line.

Its program, folder and environment are somebody's own, so only workers of that user on that host run it. A host is told
by its machine id, which stays when the host is renamed; without one, as in many containers, by its name. Two containers
that share both and have other files still train nothing: the search's digest differs.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import ColumnElement, and_, null, or_

from search.store.tables import searches
from search.vocabulary.errors import Conflict

MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A host and a user."""

    host: str  #: the name of the host, for people
    machine: str  #: identifies the host
    user: str

    @classmethod
    def here(cls) -> Binding:
        """Return this host and the user of this process."""
        host = socket.gethostname()
        return cls(host=host, machine=_read_machine_id() or host, user=_user_name())

    @classmethod
    def of(cls, bound: Mapping[str, str] | None, command: object) -> Binding | None:
        """Return the binding of a stored search; None if any worker may run it.

        A command without a binding was stored by none of us, and is nobody's.
        """
        if bound is None:
            return cls(host="no host", machine="", user="nobody") if command else None
        return cls(**bound)

    @property
    def is_here(self) -> bool:
        """Whether this is the host and the user, whatever the host is called now."""
        here = Binding.here()
        return (self.machine, self.user) == (here.machine, here.user)

    @property
    def is_claimable(self) -> ColumnElement[bool]:
        """The condition that workers of this user on this host may run a search."""
        bound = searches.c.bound
        machine, user = bound["machine"].as_string(), bound["user"].as_string()
        return or_(
            and_(bound.is_(null()), searches.c.command.is_(null())), and_(machine == self.machine, user == self.user)
        )

    def require_here(self, search_id: str, action: str = "resume") -> None:
        """Check that a search is bound to this host and this user.

        Raises:
            Conflict: naming the host and the user, and the command to type there.
        """
        if not self.is_here:
            raise self.refuse(search_id, action)

    def refuse(self, search_id: str, action: str) -> Conflict:
        """Return the exception for an action elsewhere, in words that also fit a browser and the API."""
        return Conflict(
            f"a search made from a script or a command line is run by its user on its host: got {search_id}, which is "
            f"bound to {self}. There, {self.advise(search_id, action)}."
        )

    def advise(self, search_id: str, action: str = "resume", *, accept_change: bool = False) -> str:
        """Say what to type at that host: neither a route nor a button does it."""
        return f"type “seqnorm {action} {search_id}{' --accept-code-change' if accept_change else ''}”"

    def __str__(self) -> str:
        return f"{self.user} on {self.host}"


@cache
def _read_machine_id() -> str:
    """Return a hash of the machine id, which is not to be shown; empty if there is none."""
    try:
        machine = MACHINE_ID.read_text().strip()
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(f"seqnorm {machine}".encode()).hexdigest()[:16] if machine else ""


@cache
def _user_name() -> str:
    """Return the name of the user; the number in a container that does not know it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
