"""What gm and gc make."""

from __future__ import annotations

import pytest

from search.vocabulary.norms import Norm


@pytest.mark.parametrize(
    ("gm", "gc", "name"),
    [(1, 0, "GhostNorm"), (8, 0, "GhostNorm"), (8, 4, "SeqNorm"), (0, 4, "GroupNorm"), (0, 0, "no normalization")],
)
def test_group_counts_make_a_norm_with_a_name(gm: int, gc: int, name: str) -> None:
    assert str(Norm.of(gm, gc)) == name
