"""Where a message is read, which decides its words."""

from __future__ import annotations

from enum import StrEnum

PLACE_HEADER = "X-Requested-With"


class Place(StrEnum):
    """A place where messages are read; the value is what its requests to a service say."""

    COMMAND_LINE = "seqnorm-command-line"
    PAGE = "seqnorm"
    API = ""
