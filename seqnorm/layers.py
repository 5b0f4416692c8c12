"""The norms as layers, with affine parameters per channel and, for those along the batch, running statistics."""

from __future__ import annotations

import warnings
from typing import Any, NoReturn, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from seqnorm.checks import (
    InvalidGroups,
    as_count,
    as_int,
    check_channel_groups,
    check_convention,
    check_eps_and_momentum,
    check_input,
    check_sigma,
)
from seqnorm.folding import UnfoldableEps
from seqnorm.functional import ghost_norm, group_norm, seq_norm
from seqnorm.rows import statistics_dtype
from seqnorm.running import Convention, store
from seqnorm.state import NOTE, Source, explain_reset, is_foreign
from seqnorm.uneven import Uneven, check_uneven, groups_of_batch


class AffineOptions(TypedDict, total=False):
    """Options of every layer."""

    eps: float
    affine: bool
    device: torch.device | str | None
    dtype: torch.dtype | None


class Options(AffineOptions, total=False):
    """Options of the layers that normalize along the batch."""

    momentum: float | None
    track_running_stats: bool
    running: Convention
    uneven: Uneven
    strided: bool
    shared_var: bool


class ChannelNorm(nn.Module):
    """Base of all layers: channel count and affine parameters.

    Args:
        num_channels: C, the size of dimension 1 of the input.
        eps: added to every variance.
        affine: whether to learn ``weight`` and ``bias``, each ``(C,)``, applied once at the end.
        device, dtype: of the parameters and running statistics.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        num_channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_channels < 1:
            raise ValueError(
                f"num_channels must be at least 1: got {num_channels}. Pass the width of the layer before."
            )
        check_eps_and_momentum(eps, None)
        self.num_channels = num_channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels, device=device, dtype=dtype)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_channels, device=device, dtype=dtype)) if affine else None

    def reset_parameters(self) -> None:
        """Make the affine parameters those of a new layer, as torch's norms do."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer; ``torch.fx`` records it, with its hooks, as one node, as it does the layers of torch."""
        input = args[0] if args else kwargs.get("input")
        if not isinstance(input, Proxy):
            return super().__call__(*args, **kwargs)
        tracer: Any = input.tracer  # a Tracer, which torch types as its base class

        def record(*args: Any, **kwargs: Any) -> Any:
            return tracer.create_proxy("call_module", tracer.path_of_module(self), args, kwargs)

        return tracer.call_module(self, record, args, kwargs)

    def __prepare_scriptable__(self) -> NoReturn:
        """Refuse ``torch.jit.script``, which calls this first.

        Raises:
            NotImplementedError: with what to use instead.
        """
        raise NotImplementedError(
            f"torch.jit.script cannot compile a {type(self).__name__}, whose group counts may be numbers or tensors. "
            "Use torch.export or torch.compile, or torch.jit.trace for evaluation."
        )


class GroupNorm(ChannelNorm):
    """Normalize each sample over ``gc`` groups of channels; the same in training and evaluation.

    See :func:`seqnorm.group_norm` for the arithmetic and :class:`ChannelNorm` for the options.
    """

    def __init__(self, num_channels: int, gc: int, **options: Unpack[AffineOptions]) -> None:
        super().__init__(num_channels, **options)
        self.gc = as_int(gc, "gc")
        check_channel_groups(num_channels, self.gc)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``(M, C)`` or ``(M, C, *spatial)``."""
        check_input(input, self.num_channels)
        return group_norm(input, self.gc, weight=self.weight, bias=self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        """Return the settings shown by ``print(model)``."""
        return f"{self.num_channels}, gc={self.gc}"


class LayerNorm(GroupNorm):
    """Normalize each sample over its channels and positions: GroupNorm with one group."""

    def __init__(self, num_channels: int, **options: Unpack[AffineOptions]) -> None:
        super().__init__(num_channels, gc=1, **options)


class InstanceNorm(GroupNorm):
    """Normalize each channel of each sample over its positions: GroupNorm with a group for every channel."""

    def __init__(self, num_channels: int, **options: Unpack[AffineOptions]) -> None:
        super().__init__(num_channels, gc=num_channels, **options)


class SampleNorm(ChannelNorm):
    """Base of the layers that normalize along the batch: groups of samples and running statistics.

    Args:
        num_channels: C, the size of dimension 1 of the input.
        gm: the paper's G_M; must divide the batch in training, unless ``uneven`` allows others.
        momentum: weight of a training step's statistics in the running ones, from 0 to 1; None for the cumulative
            average of all steps.
        track_running_stats: whether to keep ``running_mean`` and ``running_var``; without them evaluation uses the
            statistics of its input, as one group.
        running: the convention of the running statistics, see :mod:`seqnorm.running`. With ``sequential`` every group
            counts as a batch in ``num_batches_tracked``.
        uneven: what to do with a training batch that gm does not divide: ``error``, ``unequal`` groups or a ``single``
            one, see :mod:`seqnorm.uneven`.
        strided: whether sample i belongs to group i mod gm, instead of groups of consecutive samples.
        shared_var: whether a group's variance is computed over all channels (Luo et al., 2020; paper A.4).
        options: those of :class:`ChannelNorm`.
    """

    _version = 3  #: of the state dict: torch's BatchNorm has 2, layers of seqnorm 0.1 had 1; see :mod:`seqnorm.state`

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    uneven: Uneven = "error"  # for layers pickled whole by seqnorm 0.1

    def __init__(
        self,
        num_channels: int,
        gm: int,
        *,
        momentum: float | None = 0.1,
        track_running_stats: bool = True,
        running: Convention = "within",
        uneven: Uneven = "error",
        strided: bool = False,
        shared_var: bool = False,
        **options: Unpack[AffineOptions],
    ) -> None:
        super().__init__(num_channels, **options)
        self.gm = as_int(gm, "gm")
        if self.gm < 1:
            raise InvalidGroups(f"gm must be at least 1: got {gm}. Use 1 for one group, the whole batch.")
        check_eps_and_momentum(self.eps, momentum)
        check_convention(running)
        check_uneven(uneven)
        self.momentum = momentum
        self.running: Convention = running
        self.uneven = uneven
        self.strided = strided
        self.shared_var = shared_var
        device, dtype = options.get("device"), options.get("dtype")
        buffers = {
            "running_mean": torch.zeros(num_channels, device=device, dtype=dtype),
            "running_var": torch.ones(num_channels, device=device, dtype=dtype),
            "num_batches_tracked": torch.tensor(0, device=device),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value if track_running_stats else None)

    @property
    def num_features(self) -> int:
        """BatchNorm's name for ``num_channels``, which hooks and ``fuse_linear_bn_eval`` read."""
        return self.num_channels

    @property
    def statistics_source(self) -> Source:
        """What the running statistics are of; a state dict keeps it."""
        return Source(gc=None, shared_var=self.shared_var)

    def reset_running_stats(self) -> None:
        """Forget the running statistics, as torch's BatchNorm does."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Make affine parameters and running statistics those of a new layer."""
        super().reset_parameters()
        self.reset_running_stats()

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", None)  # a caller's own dict has none
        if metadata is not None and self.running_mean is not None:
            metadata[prefix[:-1]][NOTE] = self.statistics_source.note

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load, as torch does, also what BatchNorm saved; running statistics of something else start afresh."""
        mean, var, count = (prefix + name for name in ("running_mean", "running_var", "num_batches_tracked"))
        version = local_metadata.get("version")
        loads = self.running_mean is not None and mean in state_dict and var in state_dict
        wanted = self.statistics_source
        if loads and is_foreign(wanted, state_dict[mean], state_dict[var], count in state_dict, local_metadata):
            layer = f"{prefix[:-1]}, a {self!r}," if prefix else repr(self)
            warnings.warn(explain_reset(layer, wanted, local_metadata), stacklevel=2)
            state_dict[mean] = torch.zeros_like(state_dict[mean])
            state_dict[var] = torch.ones_like(state_dict[var])
            state_dict[count] = torch.tensor(0)
        if self.num_batches_tracked is not None and count not in state_dict and (version is None or version < 2):
            state_dict[count] = torch.tensor(0) if self.num_batches_tracked.is_meta else self.num_batches_tracked
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def call_arguments(self, input: Tensor, gm: int | Tensor | None) -> dict[str, Any]:
        """Return the keyword arguments of :func:`ghost_norm` and :func:`seq_norm` for this call."""
        gm = self.gm if gm is None else as_count(gm, "gm")
        if self.training and isinstance(gm, int):  # before momentum_for, which needs the number of groups there will be
            gm = groups_of_batch(input.shape[0], input.shape[2:].numel(), gm, self.uneven)
        return {
            "gm": gm if self.training else 1,
            "weight": self.weight,
            "bias": self.bias,
            "running_mean": self.running_mean,
            "running_var": self.running_var,
            "training": self.training or self.running_mean is None,
            "momentum": self.momentum_for(gm),
            "strided": self.strided,
            "shared_var": self.shared_var,
            "running": self.running,
            "uneven": self.uneven,
        }

    def momentum_for(self, gm: int | Tensor) -> float | Tensor:
        """Return the weight of this step; with ``momentum=None`` one weight for each batch that it counts as."""
        if self.momentum is not None:
            return self.momentum
        if not self.training or self.num_batches_tracked is None or self.running_mean is None:
            return 0.0
        counted = self.num_batches_tracked
        counts = counted + torch.arange(1, self.num_batches(gm) + 1, device=counted.device)
        return counts.to(statistics_dtype(self.running_mean.dtype)).reciprocal()

    def count_batches(self, input: Tensor, gm: int | Tensor) -> None:
        """Update ``num_batches_tracked``; call it last, so that a refused batch is not counted, nor one of nothing."""
        counts = self.training and input.shape[0] > 0
        if counts and self.num_batches_tracked is not None and self.running_mean is not None:
            store(self.num_batches_tracked, self.num_batches_tracked + self.num_batches(gm))

    def uneven_repr(self) -> str:
        """Return what ``print(model)`` shows of ``uneven``: nothing of the default."""
        return "" if self.uneven == "error" else f", uneven={self.uneven!r}"

    def num_batches(self, gm: int | Tensor) -> int:
        """Return how many batches a step with ``gm`` groups counts as."""
        return 1 if self.running != "sequential" or isinstance(gm, Tensor) else as_int(gm, "gm")


class GhostNorm(SampleNorm):
    """BatchNorm over ``gm`` groups of samples; ``gm=1`` is BatchNorm.

    See :func:`seqnorm.ghost_norm` for the arithmetic and :class:`SampleNorm` for the options.
    """

    was: type[nn.Module] | None = None  #: the BatchNorm of torch that ``convert`` replaced, for the way back

    def __init__(self, num_channels: int, gm: int, **options: Unpack[Options]) -> None:
        super().__init__(num_channels, gm, **options)

    def forward(self, input: Tensor, *, gm: int | Tensor | None = None) -> Tensor:
        """Normalize ``(M, C)`` or ``(M, C, *spatial)``; ``gm`` replaces the layer's for this call."""
        check_input(input, self.num_channels)
        arguments = self.call_arguments(input, gm)
        output = ghost_norm(input, eps=self.eps, **arguments)
        self.count_batches(input, arguments["gm"])
        return output

    def extra_repr(self) -> str:
        """Return the settings shown by ``print(model)``."""
        return f"{self.num_channels}, gm={self.gm}{self.uneven_repr()}"


class BatchNorm(GhostNorm):
    """Normalize each channel over the whole batch: GhostNorm with one group."""

    def __init__(self, num_channels: int, **options: Unpack[Options]) -> None:
        super().__init__(num_channels, gm=1, **options)


class NoisyBatchNorm(GhostNorm):
    """Add Gaussian noise to the input in training, then apply GhostNorm (paper section 3.2).

    ``gm=1`` is noisy BatchNorm.

    Args:
        num_channels: C, the size of dimension 1 of the input.
        sigma: standard deviation of the noise, in units of the input.
        gm: the paper's G_M; its noisy BatchNorm ran on 8 devices, that is 8 groups.
        options: those of :class:`SampleNorm`.
    """

    def __init__(self, num_channels: int, sigma: float, gm: int = 1, **options: Unpack[Options]) -> None:
        super().__init__(num_channels, gm, **options)
        check_sigma(sigma)
        self.sigma = sigma

    def forward(self, input: Tensor, *, gm: int | Tensor | None = None) -> Tensor:
        """Normalize ``(M, C)`` or ``(M, C, *spatial)``; ``gm`` replaces the layer's for this call."""
        return super().forward(add_noise(input, self.sigma) if self.training else input, gm=gm)

    def extra_repr(self) -> str:
        """Return the settings shown by ``print(model)``."""
        return f"{self.num_channels}, sigma={self.sigma}, gm={self.gm}{self.uneven_repr()}"


class SeqNorm(SampleNorm):
    """GroupNorm over ``gc`` groups of channels, then GhostNorm over ``gm`` groups of samples.

    See :func:`seqnorm.seq_norm` for the arithmetic and :class:`SampleNorm` for the other options.

    Args:
        num_channels: C, the size of dimension 1 of the input.
        gc: the paper's G_C; must divide C.
        gm: the paper's G_M, see :class:`SampleNorm`.
        ghost_first: whether to take the two halves in reverse order (paper A.4).
        options: those of :class:`SampleNorm`.
    """

    def __init__(
        self, num_channels: int, gc: int, gm: int, *, ghost_first: bool = False, **options: Unpack[Options]
    ) -> None:
        super().__init__(num_channels, gm, **options)
        self.gc = as_int(gc, "gc")
        check_channel_groups(num_channels, self.gc)
        self.ghost_first = ghost_first

    @property
    def statistics_source(self) -> Source:
        """What the running statistics are of: the GroupNorm half's output, if that half comes first."""
        return Source(gc=None if self.ghost_first else self.gc, shared_var=self.shared_var)

    @property
    def eps(self) -> float:
        """The number added to every variance, in a form that fusers cannot use."""
        return UnfoldableEps(self.plain_eps)

    @eps.setter
    def eps(self, eps: float) -> None:
        self.plain_eps = float(eps)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a layer, also one that seqnorm 0.1 pickled whole, with its eps as a plain attribute."""
        state = {"plain_eps" if name == "eps" else name: value for name, value in state.items()}
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def forward(self, input: Tensor, *, gc: int | Tensor | None = None, gm: int | Tensor | None = None) -> Tensor:
        """Normalize ``(M, C)`` or ``(M, C, *spatial)``; ``gc`` and ``gm`` replace the layer's for this call."""
        check_input(input, self.num_channels)
        gc = self.gc if gc is None else gc
        arguments = self.call_arguments(input, gm)
        output = seq_norm(input, gc, eps=self.plain_eps, ghost_first=self.ghost_first, **arguments)
        self.count_batches(input, arguments["gm"])
        return output

    def extra_repr(self) -> str:
        """Return the settings shown by ``print(model)``."""
        first = ", ghost_first=True" if self.ghost_first else ""
        return f"{self.num_channels}, gc={self.gc}, gm={self.gm}{first}{self.uneven_repr()}"


class NoisySeqNorm(SeqNorm):
    """Add Gaussian noise to the input in training, then apply SeqNorm.

    Args:
        num_channels: C, the size of dimension 1 of the input.
        sigma: standard deviation of the noise, in units of the input.
        gc: the paper's G_C; must divide C.
        gm: the paper's G_M, see :class:`SampleNorm`.
        ghost_first: whether to take the two halves in reverse order (paper A.4).
        options: those of :class:`SampleNorm`.
    """

    def __init__(
        self,
        num_channels: int,
        sigma: float,
        gc: int,
        gm: int,
        *,
        ghost_first: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(num_channels, gc, gm, ghost_first=ghost_first, **options)
        check_sigma(sigma)
        self.sigma = sigma

    def forward(self, input: Tensor, *, gc: int | Tensor | None = None, gm: int | Tensor | None = None) -> Tensor:
        """Normalize ``(M, C)`` or ``(M, C, *spatial)``; ``gc`` and ``gm`` replace the layer's for this call."""
        return super().forward(add_noise(input, self.sigma) if self.training else input, gc=gc, gm=gm)

    def extra_repr(self) -> str:
        """Return the settings shown by ``print(model)``."""
        return f"{super().extra_repr()}, sigma={self.sigma}"


def add_noise(input: Tensor, sigma: float) -> Tensor:
    """Add Gaussian noise to a floating input; any other is returned unchanged, for the norm to refuse."""
    return input + sigma * torch.randn_like(input) if input.is_floating_point() else input
