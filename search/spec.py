"""Public import path of ``SearchSpec``; see :mod:`search.plan.spec`."""

from search.plan.spec import SearchSpec, parse_spec, read_spec

__all__ = ["SearchSpec", "parse_spec", "read_spec"]
