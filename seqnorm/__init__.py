"""Normalization layers of "Sequential Normalization" (Dimitriou & Arandjelovic).

The paper's G_M, the number of groups along the mini-batch, is spelled ``gm`` here and everywhere else;
its G_C, the number of groups along the channels, is ``gc``.
"""

from seqnorm.checks import InvalidGroups
from seqnorm.conversion import Conversion, convert
from seqnorm.equivalents import accumulate_gradients, average_gradients, average_running_statistics
from seqnorm.functional import ghost_norm, group_norm, seq_norm
from seqnorm.layers import (
    BatchNorm,
    GhostNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    NoisyBatchNorm,
    NoisySeqNorm,
    SeqNorm,
)
from seqnorm.recalibration import update_statistics
from seqnorm.standardization import standardize_weights
from seqnorm.trial import Trial, trial

__version__ = "0.1.0"

__all__ = [
    "BatchNorm",
    "Conversion",
    "GhostNorm",
    "GroupNorm",
    "InstanceNorm",
    "InvalidGroups",
    "LayerNorm",
    "NoisyBatchNorm",
    "NoisySeqNorm",
    "SeqNorm",
    "Trial",
    "accumulate_gradients",
    "average_gradients",
    "average_running_statistics",
    "convert",
    "ghost_norm",
    "group_norm",
    "seq_norm",
    "standardize_weights",
    "trial",
    "update_statistics",
]
