"""Which layers of a model are BatchNorms, and which of them another norm can replace without changing what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import jit, nn
from torch.nn.modules.batchnorm import _BatchNorm, _LazyNormBase
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize

from seqnorm.layers import ChannelNorm, GhostNorm, NoisyBatchNorm

LOOKED_FOR = (
    "torch.nn.BatchNorm1d, 2d, 3d, SyncBatchNorm, subclasses of them, "
    "and layers with a running_mean or with BatchNorm in their name"
)
TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
# timm's BatchNormAct2d is a BatchNorm whose children of these names apply dropout and activation to its output.
ACTIVATION_CHILDREN = ("drop", "act")
TIMM_WITH_ACTIVATION = {"BatchNormAct2d", "SyncBatchNormAct"}
# What a subclass or a person may replace without changing what a BatchNorm computes, stores or loads.
HARMLESS = {"__init__", "__repr__", "_check_input_dim", "extra_repr", "reset_parameters", "reset_running_stats"}
# Attributes of every module, BatchNorm and GhostNorm; a person has added all others.
ATTRIBUTES = frozenset(vars(nn.Module()))
BATCH_NORM_ATTRIBUTES = frozenset({*vars(nn.SyncBatchNorm(1)), "_check_input_dim"})  # the last if people replace it
GHOST_NORM_ATTRIBUTES = frozenset({*vars(NoisyBatchNorm(1, sigma=0)), "was"})
# Layers of these packages compute with the statistics and the weight of a BatchNorm that they hold.
FUSED = ("torch.ao.nn.", "torch.nn.intrinsic.")


def is_batch_norm(layer: nn.Module) -> bool:
    """Whether a layer is, or seems to be, a BatchNorm of torch or of anybody else."""
    if isinstance(layer, _BatchNorm):
        return True
    if isinstance(layer, (ChannelNorm, _InstanceNorm)):
        return False
    own = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
    return "running_mean" in own or ("batchnorm" in kind(layer).lower() and not any(True for _ in layer.children()))


def kind(layer: nn.Module) -> str:
    """Return the name of a layer's class; of a scripted or traced layer, that of the class it was made from."""
    return str(layer.original_name) if isinstance(layer, jit.ScriptModule) else type(layer).__name__


def is_timm_with_activation(layer: nn.Module) -> bool:
    """Whether a layer is one of timm's BatchNorms that apply dropout and activation too."""
    cls = type(layer)
    children = {name for name, _ in layer.named_children()}
    return (
        cls.__module__.startswith("timm.")
        and cls.__name__ in TIMM_WITH_ACTIVATION
        and children <= set(ACTIVATION_CHILDREN)
    )


def reason_to_keep(layer: nn.Module) -> str | None:
    """Return why a layer that seems to be a BatchNorm cannot be replaced by any norm; None if it can."""
    if isinstance(layer, jit.ScriptModule):
        return f"this {kind(layer)} is compiled by torch.jit: convert the model before it is scripted or traced"
    if type(layer) is nn.Module:
        return (
            "it is part of an exported graph, which has operations and no layers: convert the model before torch.export"
        )
    if not isinstance(layer, (_BatchNorm, GhostNorm)):
        return f"{kind(layer)} is not a torch.nn.BatchNorm: swap it by hand"
    if isinstance(layer, _LazyNormBase):
        return "its width is not known yet: run the model once, then convert"
    if parametrize.is_parametrized(layer):
        names = ", ".join(layer.parametrizations)  # type: ignore[arg-type]  # a ModuleDict
        return (
            f"its {names} is parametrized: make it a parameter again "
            "(torch.nn.utils.parametrize.remove_parametrizations), then convert"
        )
    return reason_in_tensors(layer) or reason_in_methods(layer) or reason_in_state(layer)


def reason_in_tensors(layer: _BatchNorm | GhostNorm) -> str | None:
    """Look for tensors that a BatchNorm does not have, or lacks: pruning, weight_norm and spectral_norm add some."""
    own = {*layer._parameters, *layer._buffers}
    added = sorted(own - TENSORS)
    missing = sorted(name for name in TENSORS - own if not hasattr(layer, name) or getattr(layer, name) is not None)
    if added and missing:
        return (
            f"its {', '.join(missing)} is computed from {', '.join(added)}: make it a parameter again (torch.nn.utils."
            "prune.remove, remove_weight_norm or remove_spectral_norm), then convert"
        )
    if added or missing:
        difference = f"has {', '.join(added)} too" if added else f"has no parameter or buffer {', '.join(missing)}"
        return f"this {kind(layer)} {difference}: swap it by hand"
    return None


def reason_in_methods(layer: _BatchNorm | GhostNorm) -> str | None:
    """Look for methods that a subclass or a person has replaced."""
    cls = type(layer)
    if not is_timm_with_activation(layer):
        for ancestor in cls.__mro__:
            if ancestor.__module__ in (_BatchNorm.__module__, GhostNorm.__module__):
                break
            for name, value in vars(ancestor).items():
                is_method = callable(value) or hasattr(value, "__get__")
                is_torchs = hasattr(_BatchNorm, name) or name in BATCH_NORM_ATTRIBUTES
                if is_method and is_torchs and name not in HARMLESS:
                    return f"{cls.__name__} does more than normalize: swap it by hand"
    replaced = [name for name in vars(layer) if callable(getattr(cls, name, None)) and name not in HARMLESS]
    if replaced:
        return f"its {', '.join(replaced)} was replaced on this one layer: swap it by hand"
    return None


def reason_in_state(layer: _BatchNorm | GhostNorm) -> str | None:
    """Look for settings and hooks that another norm cannot honour."""
    if (layer.running_mean is None) != (layer.running_var is None):
        return "it has only one of running_mean and running_var: set both, or both to None, then convert"
    if layer.running_mean is not None and not getattr(layer, "track_running_stats", True):
        return (
            "its running statistics are fixed, because track_running_stats was set to False after it was made: "
            "set it to True, or running_mean and running_var to None, then convert"
        )
    if layer._backward_hooks and not layer._is_full_backward_hook:
        return (
            "it has a backward hook that sees the gradients of its last operation: "
            "use register_full_backward_hook, then convert"
        )
    return None


def reason_for_children(module: nn.Module) -> str | None:
    """Return why the BatchNorms in a module, whatever they are, must stay; None if they need not."""
    if isinstance(module, DistributedDataParallel):
        return "DistributedDataParallel synchronizes the buffers that it found: convert the model before it is wrapped"
    if type(module).__module__.startswith(FUSED):
        return f"{kind(module)} computes with its weight and statistics: convert the model before it is fused"
    return None


def unregistered(model: nn.Module, is_wanted: Callable[[nn.Module], bool]) -> Iterator[tuple[str, nn.Module]]:
    """Find the layers that a model holds in plain lists, tuples, sets or dicts, which torch does not look into."""
    known = set(model.modules())
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            for inner, layer in () if name in ATTRIBUTES else held(value):
                for innermost, found in layer.named_modules():
                    if found not in known and is_wanted(found):
                        known.add(found)
                        yield ".".join(part for part in (path, name, inner, innermost) if part), found


def held(value: object, depth: int = 3) -> Iterator[tuple[str, nn.Module]]:
    """Find the modules in nested containers, with their indices and keys."""
    if not isinstance(value, (list, tuple, set, dict)) or not depth:
        return
    for key, element in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(element, nn.Module):
            yield str(key), element
        for inner, layer in held(element, depth - 1):
            yield f"{key}.{inner}", layer
