"""Normalization layers of "Sequential Normalization" (Dimitriou & Arandjelovic).

The paper's G_M, the number of groups along the mini-batch, is spelled ``gm`` here and everywhere else;
its G_C, the number of groups along the channels, is ``gc``.
"""

from seqnorm.ghost_norm import GhostNorm, ghost_norm
from seqnorm.seq_norm import SeqNorm, seq_norm

__version__ = "0.1.0"

__all__ = ["GhostNorm", "SeqNorm", "ghost_norm", "seq_norm"]
