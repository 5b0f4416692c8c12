"""Whose running statistics a state dict holds.

BatchNorm, GhostNorm and SeqNorm have the same names in it, but a SeqNorm's running statistics are those of its
GroupNorm half's output: with others it would evaluate wrongly, and nobody would notice. The first that applies decides:

    the state dict's metadata has                   the statistics are
    ``statistics_of``                               of what it says: a layer of this package wrote it
    version 1, and the state num_batches_tracked    as wanted, unless their numbers cannot be: a layer of seqnorm 0.1
                                                    wrote it, or anybody's BatchNorm
    another version                                 of the input: torch's BatchNorm wrote it
    no version (a dict made by hand, safetensors)   as wanted, unless their numbers cannot be

The numbers: a GroupNorm's output averages to 0 over each of its groups of channels, and so do its running means,
whatever the momentum. A shared variance is the same for every channel. So numbers show that BatchNorm's statistics are
not a SeqNorm's. They cannot show that a SeqNorm's are not BatchNorm's, nor that they are of a SeqNorm with a multiple
of the groups: where means average to 0 over each of 4 groups, they do over each of 2. These pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

NOTE = "statistics_of"  #: key in the metadata that ``state_dict`` keeps for each layer


class Source(NamedTuple):
    """What running statistics are of."""

    gc: int | None  #: groups of the GroupNorm before them; None if they are of the layer's input
    shared_var: bool

    @property
    def note(self) -> str:
        """Say it in words, which metadata keep."""
        what = "the input" if self.gc is None else f"the output of GroupNorm(gc={self.gc})"
        return f"{what}, one variance for all channels" if self.shared_var else what


INPUT = Source(gc=None, shared_var=False)  #: of BatchNorm's


def is_foreign(wanted: Source, mean: Tensor, var: Tensor, counted: bool, metadata: Mapping[str, Any]) -> bool:
    """Return whether loaded running statistics are of something else than wanted.

    Args:
        wanted: what those of the layer are of.
        mean, var: the loaded ones.
        counted: whether the state dict has ``num_batches_tracked``.
        metadata: the layer's, from the state dict.
    """
    version = metadata.get("version")
    if NOTE in metadata:
        return bool(metadata[NOTE] != wanted.note)
    if version is None or (version == 1 and counted):
        return not can_be(wanted, mean, var)
    return wanted != INPUT


def can_be(wanted: Source, mean: Tensor, var: Tensor) -> bool:
    """Return whether the numbers can be running statistics of what is wanted."""
    if mean.is_meta or var.is_meta or mean.dim() != 1:
        return True
    tolerance = torch.finfo(mean.dtype).eps ** 0.5  # 3e-4 in float32: half precision may have been trained in between
    if wanted.gc is not None and mean.numel() % wanted.gc == 0:
        mean = mean.double()
        if mean.view(wanted.gc, -1).mean(1).abs().max() > tolerance * mean.abs().max():
            return False
    return not wanted.shared_var or bool((var - var[0]).abs().max() <= tolerance * var.abs().max())


def explain_reset(layer: str, wanted: Source, metadata: Mapping[str, Any]) -> str:
    """Return the sentence for statistics that were not loaded."""
    received = metadata.get(NOTE, "the input, as BatchNorm's")
    return (
        f"running statistics for {layer} must be of {wanted.note}: got those of {received}. The weights were loaded "
        "and the running statistics start afresh: call seqnorm.update_statistics(loader, model) before evaluation."
    )
