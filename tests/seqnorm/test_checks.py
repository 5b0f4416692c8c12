"""Which refusals a search takes for those of a point: group counts that do not fit, and nothing else."""

import pytest
import torch
from torch import nn

from seqnorm import (
    BatchNorm,
    GhostNorm,
    GroupNorm,
    InvalidGroups,
    SeqNorm,
    accumulate_gradients,
    ghost_norm,
    group_norm,
    seq_norm,
)

REFUSED = [
    lambda: GhostNorm(4, gm=0),
    lambda: GhostNorm(4, gm=3)(torch.zeros(4, 4)),
    lambda: GhostNorm(4, gm=2)(torch.zeros(4, 4), gm=3),
    lambda: GhostNorm(4, gm=4)(torch.zeros(4, 4)),
    lambda: GhostNorm(4, gm=4, uneven="unequal")(torch.zeros(1, 4)),
    lambda: BatchNorm(4)(torch.zeros(1, 4)),
    lambda: GroupNorm(4, gc=3),
    lambda: GroupNorm(4, gc=4)(torch.zeros(4, 4)),
    lambda: SeqNorm(4, gc=3, gm=1),
    lambda: SeqNorm(4, gc=2, gm=3)(torch.zeros(4, 4, 2)),
    lambda: SeqNorm(4, gc=4, gm=1)(torch.zeros(4, 4)),
    lambda: ghost_norm(torch.zeros(4, 4), 3),
    lambda: group_norm(torch.zeros(4, 4), 3),
    lambda: seq_norm(torch.zeros(4, 4), 2, 3),
    lambda: accumulate_gradients(nn.Identity(), nn.MSELoss(), torch.zeros(4, 4), torch.zeros(4), gm=3),
]


@pytest.mark.parametrize("refused", REFUSED)
def test_group_counts_that_do_not_fit_are_refused_by_a_class_of_their_own(refused):
    with pytest.raises(InvalidGroups, match=r"^(gm|gc|a group)"):
        refused()


@pytest.mark.parametrize(
    "refused",
    [
        lambda: GhostNorm(4, gm=1.5),
        lambda: GhostNorm(4, gm=1, eps=-1),
        lambda: GhostNorm(4, gm=1)(torch.zeros(4, 5)),
        lambda: ghost_norm(torch.zeros(4, 4), 1, training=False),
    ],
)
def test_other_errors_are_none_of_a_point(refused):
    with pytest.raises(ValueError) as error:
        refused()
    assert not isinstance(error.value, InvalidGroups)
