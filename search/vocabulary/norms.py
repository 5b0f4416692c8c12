"""The kinds of normalization that gm and gc make."""

from __future__ import annotations

from enum import StrEnum


class Norm(StrEnum):
    """A kind of normalization; the value is its name for people."""

    GHOST = "GhostNorm"  #: gc = 0; with gm = 1 it is BatchNorm
    SEQ = "SeqNorm"
    GROUP = "GroupNorm"  #: gm = 0, GroupNorm alone (paper A.4)
    NONE = "no normalization"  #: both are 0

    @classmethod
    def of(cls, gm: int, gc: int) -> Norm:
        """Return the kind that group counts make."""
        if gm:
            return cls.SEQ if gc else cls.GHOST
        return cls.GROUP if gc else cls.NONE
