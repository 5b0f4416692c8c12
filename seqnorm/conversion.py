"""Replace every BatchNorm of a model by another norm, keeping names and learned weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from seqnorm.layers import GhostNorm, SeqNorm

# timm's BatchNormAct2d is a BatchNorm whose children of these names apply dropout and activation to its output.
ACTIVATION_CHILDREN = ("drop", "act")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The result of :func:`convert`."""

    model: nn.Module  #: the model itself, or its replacement if it was a BatchNorm
    swapped: tuple[str, ...]  #: paths in the model, e.g. ``layer1.0.bn1``
    kept: dict[str, str]  #: path of each BatchNorm that was not swapped → the reason

    def __str__(self) -> str:
        total = len(self.swapped) + len(self.kept)
        lines = [f"{len(self.swapped)} of {total} BatchNorm layers swapped"]
        lines += [f"kept {path or 'the model itself'}: {reason}" for path, reason in self.kept.items()]
        return "\n".join(lines)


def convert(model: nn.Module, norm: Callable[[int], nn.Module]) -> Conversion:
    """Replace every BatchNorm of ``model`` in place.

    A layer keeps its path, ``weight``, ``bias``, ``eps``, ``momentum``, device, dtype and mode; its parameters stay the
    same objects, so an existing optimizer still trains them. Running statistics are kept if both layers track the same
    quantity, that is if GhostNorm comes first; those of a SeqNorm track its GroupNorm half's output and start afresh.
    Forward hooks of the layer are dropped.

    Args:
        model: any model with ``torch.nn.BatchNorm1d``, ``2d``, ``3d``, ``SyncBatchNorm`` or subclasses of them.
        norm: makes a layer for a number of channels, e.g. ``functools.partial(SeqNorm, gc=4, gm=8)``. ``eps`` and
            ``momentum`` given in a partial override the layer's own; ``affine=False`` and
            ``track_running_stats=False`` are respected.

    Returns:
        What was swapped and what was not. A layer is kept, with the reason, if ``norm`` refuses its width, or if it is
        a subclass that does more than normalize, or lazy and not yet initialized.
    """
    swapped: list[str] = []
    kept: dict[str, str] = {}
    replacements: dict[nn.Module, nn.Module] = {}  # a layer shared by several paths stays shared
    for path, layer in list(model.named_modules(remove_duplicate=False)):
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            continue
        if layer not in replacements:
            reason = reason_to_keep(layer)
            if reason is None:
                try:
                    replacements[layer] = make_replacement(layer, norm)
                except ValueError as refused:
                    reason = str(refused)
            if reason is not None:
                kept[path] = reason
                continue
        swapped.append(path)
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if layer in replacements:
                setattr(parent, name, replacements[layer])
    return Conversion(model=replacements.get(model, model), swapped=tuple(swapped), kept=kept)


def reason_to_keep(layer: nn.Module) -> str | None:
    """Return why a BatchNorm cannot be replaced by any norm; None if it can."""
    kind = type(layer)
    if isinstance(layer, nn.modules.batchnorm._LazyNormBase):
        return "its width is not known yet: run the model once, then convert"
    children = {name for name, _ in layer.named_children()}
    is_timm = kind.__module__.startswith("timm.") and children <= set(ACTIVATION_CHILDREN)
    if not is_timm and kind.forward not in TORCH_FORWARDS:
        return f"{kind.__name__} does more than normalize: swap it by hand"
    return None


TORCH_FORWARDS = {nn.modules.batchnorm._BatchNorm.forward, nn.SyncBatchNorm.forward}


def make_replacement(layer: nn.Module, norm: Callable[[int], nn.Module]) -> nn.Module:
    """Make a new norm with the weights, buffers and settings of a BatchNorm.

    Raises:
        ValueError: if ``norm`` refuses the width.
    """
    assert isinstance(layer, nn.modules.batchnorm._BatchNorm)
    new = norm(layer.num_features)
    tensor = next((t for t in (layer.weight, layer.running_mean) if t is not None), None)
    if tensor is not None:
        new.to(device=tensor.device, dtype=tensor.dtype)
    given = norm.keywords if isinstance(norm, partial) else {}
    for name in ("eps", "momentum"):
        if hasattr(new, name) and name not in given:
            setattr(new, name, getattr(layer, name))
    if getattr(new, "weight", None) is not None:
        new.weight, new.bias = layer.weight, layer.bias
    if getattr(new, "running_mean", None) is not None and (layer.running_mean is None or tracks_input_statistics(new)):
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(new, name, getattr(layer, name))
    for name, child in layer.named_children():
        new.add_module(name, child)
    if any(True for _ in layer.children()):
        new.register_forward_hook(drop_and_activate)
    return new.train(layer.training)


def tracks_input_statistics(new: nn.Module) -> bool:
    """Whether the running statistics are, like BatchNorm's, those of each channel of the input."""
    ghost_first = isinstance(new, GhostNorm) or (isinstance(new, SeqNorm) and new.ghost_first)
    return ghost_first and not new.shared_var


def drop_and_activate(layer: nn.Module, _: tuple[object, ...], output: Tensor) -> Tensor:
    """Apply dropout and activation as timm's BatchNormAct does after its BatchNorm."""
    for name in ACTIVATION_CHILDREN:
        child = getattr(layer, name, None)
        output = output if child is None else child(output)
    return output
