"""Public import path of ``Candidate`` and ``choose``; see :mod:`search.plan.selection`."""

from search.plan.selection import RULES, Candidate, Choice, Point, choose

__all__ = ["RULES", "Candidate", "Choice", "Point", "choose"]
