"""Folding a norm into the layer before it, which is exact for GhostNorm in evaluation and wrong for SeqNorm."""

from __future__ import annotations

from typing import NoReturn


class UnfoldableEps(float):
    """The eps of a norm that must not be folded into the layer before it.

    Fusers (``torch.nn.utils.fuse_conv_bn_eval``, timm's ``reparameterize_model``, …) take any layer for a BatchNorm and
    compute ``weight / sqrt(running_var + eps)`` from its attributes. With a GroupNorm half, that is another function.
    All of them take this sum, so an operation of this number with a torch tensor or a NumPy array is refused. With
    Python's numbers, and so with statistics taken out one by one, it is a float.
    """

    @classmethod
    def __torch_function__(cls, *_: object) -> NoReturn:
        """Refuse to take part in an operation on tensors."""
        refuse()

    def __array_ufunc__(self, *_: object, **__: object) -> NoReturn:
        """Refuse to take part in an operation on arrays."""
        refuse()


def refuse() -> NoReturn:
    """Refuse an operation.

    Raises:
        ValueError: always; a TypeError would let Python try the reversed operation.
    """
    raise ValueError(
        "a SeqNorm cannot be folded into the layer before it: its GroupNorm half depends on each sample, not on "
        "running statistics only. Leave the layer as it is, or train with GhostNorm, which can be folded. "
        "For other arithmetic take float(layer.eps)."
    )
