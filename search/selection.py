"""Public import path of ``Candidate``, ``choose`` and ``compare``; see :mod:`search.plan.selection`."""

from search.plan.comparison import Comparison, Verdict, compare
from search.plan.selection import RULES, Candidate, Choice, Point, choose

__all__ = ["RULES", "Candidate", "Choice", "Comparison", "Point", "Verdict", "choose", "compare"]
