"""Replace every BatchNorm of a model by another norm, keeping names, learned weights and hooks.

A layer becomes its replacement in place, as torch's lazy and parametrized modules change their class. So whatever
refers to it (a second path, a list, a closure, the handle of a hook) refers to the new norm, and shared layers stay
shared. The report is made by reading the model afterwards.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, jit, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seqnorm.batch_norms import (
    ACTIVATION_CHILDREN,
    ATTRIBUTES,
    BATCH_NORM_ATTRIBUTES,
    GHOST_NORM_ATTRIBUTES,
    LOOKED_FOR,
    is_batch_norm,
    is_timm_with_activation,
    reason_for_children,
    reason_to_keep,
    unregistered,
)
from seqnorm.checks import InvalidGroups
from seqnorm.layers import ChannelNorm, GhostNorm, SampleNorm, SeqNorm

MAX_LISTED = 3  # layers listed in a warning
Swappable = _BatchNorm | GhostNorm  # what another norm can replace
DEFAULTS = {"eps": 1e-5, "momentum": 0.1}  # of torch's BatchNorm and of every norm here
BY_DIMENSION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # differ in the input that they accept only


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The result of :func:`convert`."""

    model: nn.Module  #: the model itself, also if it was a BatchNorm
    swapped: tuple[str, ...]  #: paths in the model, e.g. ``layer1.0.bn1``; a shared layer has several
    kept: dict[str, str]  #: path of each BatchNorm that was not swapped → the reason
    notes: tuple[str, ...] = ()  #: what to know before training or evaluating

    def __str__(self) -> str:
        total = len(self.swapped) + len(self.kept)
        lines = [f"{len(self.swapped)} of {total} BatchNorm layers swapped"]
        lines += [f"kept {path or 'the model itself'}: {reason}" for path, reason in self.kept.items()]
        return "\n".join([*lines, *self.notes])


def convert(model: nn.Module, norm: Callable[[int], nn.Module]) -> Conversion:
    """Replace every BatchNorm of ``model`` in place.

    A layer keeps its path, ``weight``, ``bias``, ``eps``, ``momentum``, hooks, device, dtype and mode; its parameters
    stay the same objects, so an existing optimizer still trains them. Running statistics are kept if both layers track
    the same quantity, that is if GhostNorm comes first; those of a SeqNorm track its GroupNorm half's output and start
    afresh. A layer that several paths share stays one layer.

    Args:
        model: any model with ``torch.nn.BatchNorm1d``, ``2d``, ``3d``, ``SyncBatchNorm`` or subclasses of them.
        norm: makes a new layer for a number of channels, e.g. ``functools.partial(SeqNorm, gc=4, gm=8)``. ``eps`` and
            ``momentum`` given there override the layer's own; ``affine=False`` and ``track_running_stats=False`` are
            respected. ``torch.nn.BatchNorm1d``, ``2d`` or ``3d`` instead replaces every GhostNorm and SyncBatchNorm,
            for tools that only know torch's layers: each evaluates as it did. A GhostNorm that was a BatchNorm of
            another dimension becomes that one again; if it never was one, its successor accepts every dimension.

    Returns:
        What was swapped and what was not. A layer is kept, with the reason, if ``norm`` refuses its width, or if it
        is more than a plain BatchNorm: see :mod:`seqnorm.batch_norms`.

    Raises:
        TypeError: if ``model`` is not a module, or ``norm`` does not make a new one. The model is then unchanged.
        InvalidGroups: if ``norm`` is that of a trial and refuses a width. The model is then unchanged.

    Warns:
        UserWarning: if no layer was swapped.
    """
    check_arguments(model, norm)
    sources = sources_for(norm)
    reasons = reasons_to_keep(model, sources)
    replacements: dict[Swappable, nn.Module] = {}
    for layer in model.modules():
        if isinstance(layer, sources) and layer not in reasons:
            try:
                replacements[layer] = make_replacement(layer, norm)
            except ValueError as refused:
                if isinstance(refused, InvalidGroups) and refused.ends_conversion:
                    raise
                reasons[layer] = str(refused)
    check_distinct(list(replacements.values()))
    notes = make_notes(replacements)
    for layer, new in replacements.items():
        become(layer, new)
    report = read(model, replacements, reasons, notes, sources)
    if not report.swapped:
        warnings.warn(describe_nothing(model, report, sources), stacklevel=2)
    return report


def sources_for(norm: Callable[[int], nn.Module]) -> tuple[type[Swappable], ...]:
    """Return the kinds of layers that ``norm`` replaces."""
    made = norm.func if isinstance(norm, partial) else norm
    if made in BY_DIMENSION:
        return (GhostNorm, nn.SyncBatchNorm)
    if isinstance(made, type) and issubclass(made, _BatchNorm):  # SyncBatchNorm, or a subclass of one's own
        return (_BatchNorm, GhostNorm)
    return (_BatchNorm,)


def is_candidate(layer: nn.Module, sources: tuple[type[Swappable], ...]) -> bool:
    """Whether a report must mention a layer: it can be replaced, or seems so."""
    return isinstance(layer, sources) or (_BatchNorm in sources and is_batch_norm(layer))


def check_arguments(model: nn.Module, norm: Callable[[int], nn.Module]) -> None:
    """Check that there is a model, and something that makes norms.

    Raises:
        TypeError: naming what was received.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module: got a {type(model).__name__}. Pass the model itself.")
    if isinstance(norm, nn.Module) or not callable(norm):
        raise TypeError(
            f"norm must make a layer for a number of channels: got a {type(norm).__name__}. "
            "Pass e.g. functools.partial(SeqNorm, gc=4, gm=8)."
        )


def as_module(made: object) -> nn.Module:
    """Return what ``norm`` has made.

    Raises:
        TypeError: if it is not a module.
    """
    if not isinstance(made, nn.Module):
        raise TypeError(f"norm must return a torch.nn.Module: got a {type(made).__name__}. Return the layer it makes.")
    return made


def check_distinct(made: Sequence[nn.Module]) -> None:
    """Check that ``norm`` has made a layer for each BatchNorm.

    Raises:
        TypeError: naming what it made.
    """
    if len(set(map(id, made))) < len(made):
        raise TypeError(
            f"norm must make a new layer at each call: got the same {type(made[0]).__name__} again. "
            "Make the layer inside the function."
        )


def reasons_to_keep(model: nn.Module, sources: tuple[type[Swappable], ...]) -> dict[nn.Module, str]:
    """Return the layers that no norm can replace, and those inside layers that compute with them, with the reason."""
    reasons: dict[nn.Module, str] = {}
    for path, module in model.named_modules():
        inside = reason_for_children(module)
        reason = reason_to_keep(module) if is_candidate(module, sources) else None
        if reason is not None:
            reasons.setdefault(module, reason)
            if isinstance(module, (_BatchNorm, GhostNorm, jit.ScriptModule)):
                inside = f"part of {path or 'the model itself'}, which is kept"
        if inside is not None:
            for part in module.modules():
                if part is not module and is_candidate(part, sources):
                    reasons.setdefault(part, inside)
    return reasons


def make_replacement(layer: Swappable, norm: Callable[[int], nn.Module]) -> nn.Module:
    """Make a new norm with the weights, buffers and settings of a BatchNorm, which stays as it is.

    Raises:
        ValueError: if ``norm`` refuses the width, or what it makes cannot take the layer's place.
        TypeError: if it does not make a module.
    """
    new = as_module(norm(layer.num_features))
    check_class(layer, type(new))
    tensor = layer.running_mean if layer.running_mean is not None else layer.weight
    if tensor is not None:
        new.to(device=tensor.device, dtype=tensor.dtype)
    given = norm.keywords if isinstance(norm, partial) else {}
    for name, default in DEFAULTS.items():
        if name not in given and getattr(new, name, None) == default:
            setattr(new, name, getattr(layer, name))
    for name in ("weight", "bias"):
        if getattr(new, name, None) is not None:
            check_shape(layer, new, name)
            setattr(new, name, getattr(layer, name))
    if getattr(new, "running_mean", None) is not None and (layer.running_mean is None or tracks_input_statistics(new)):
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(new, name, getattr(layer, name))
    if isinstance(new, _BatchNorm):
        new.affine, new.track_running_stats = new.weight is not None, new.running_mean is not None
    for name, child in layer.named_children():
        new.add_module(name, child)
    if is_timm_with_activation(layer):
        new.register_forward_hook(drop_and_activate)
    if isinstance(new, GhostNorm):
        new.was = batch_norm_of(layer)
    elif isinstance(new, BY_DIMENSION) and not isinstance(layer, BY_DIMENSION):
        accept_input_of(layer, new)
    return new.train(layer.training)


def check_class(layer: Swappable, cls: type[nn.Module]) -> None:
    """Check that the layer's object can become one of another class.

    Raises:
        ValueError: if it cannot, e.g. because its own class has ``__slots__``.
    """
    kind = type(layer)
    try:
        object.__setattr__(object.__new__(kind), "__class__", cls)
    except TypeError as error:
        raise ValueError(
            f"Python cannot turn a {kind.__name__} into a {cls.__name__} ({error}): swap it by hand"
        ) from None


def check_shape(layer: Swappable, new: nn.Module, name: str) -> None:
    """Check that a norm uses a parameter in the shape that BatchNorm's have.

    Raises:
        ValueError: naming both shapes.
    """
    mine, wanted = getattr(layer, name), getattr(new, name)
    if isinstance(mine, Tensor) and isinstance(wanted, Tensor) and mine.shape != wanted.shape:
        raise ValueError(
            f"its {name} has the shape {tuple(mine.shape)}, and that of a {type(new).__name__} {tuple(wanted.shape)}: "
            "swap it by hand"
        )


def batch_norm_of(layer: Swappable) -> type[nn.Module] | None:
    """Return the BatchNorm of torch that accepts the input that a layer accepts; None if none does."""
    if "_check_input_dim" in vars(layer) or not isinstance(layer, _BatchNorm):
        return None
    accepts = type(layer)._check_input_dim
    return next((cls for cls in BY_DIMENSION if cls._check_input_dim is accepts), None)


def accept_input_of(layer: Swappable, new: nn.Module) -> None:
    """Let a BatchNorm of torch accept the input that a GhostNorm or SyncBatchNorm accepts."""
    if type(new) in BY_DIMENSION and isinstance(layer, GhostNorm) and layer.was is not None:
        object.__setattr__(new, "__class__", layer.was)
    else:
        object.__setattr__(new, "_check_input_dim", accept_any_dimension)


def accept_any_dimension(input: Tensor) -> None:
    """Accept what a GhostNorm accepts, in place of the check of torch's BatchNorm1d, 2d or 3d."""


def become(layer: Swappable, new: nn.Module) -> None:
    """Turn a layer into another one in place, with the hooks and the attributes that people have added to it.

    Handles that remove hooks refer to the layer's own dictionaries of hooks, so these are filled, not replaced.
    """
    state, old = vars(new), vars(layer)
    own = GHOST_NORM_ATTRIBUTES if isinstance(layer, GhostNorm) else BATCH_NORM_ATTRIBUTES
    for name, value in old.items():
        if name in ATTRIBUTES and "_hooks" in name:
            together = {**state[name], **value}
            value.clear()
            value.update(together)
            state[name] = value
        elif name not in own:
            state.setdefault(name, value)
    if layer._backward_hooks:
        new._is_full_backward_hook = layer._is_full_backward_hook
    object.__setattr__(layer, "__dict__", state)
    object.__setattr__(layer, "__class__", type(new))


def tracks_input_statistics(new: nn.Module) -> bool:
    """Whether the running statistics are, like BatchNorm's, those of each channel of the input."""
    if isinstance(new, _BatchNorm):
        return True
    ghost_first = isinstance(new, GhostNorm) or (isinstance(new, SeqNorm) and new.ghost_first)
    return ghost_first and not new.shared_var


def drop_and_activate(layer: nn.Module, _: tuple[object, ...], output: Tensor) -> Tensor:
    """Apply dropout and activation as timm's BatchNormAct does after its BatchNorm."""
    for name in ACTIVATION_CHILDREN:
        child = getattr(layer, name, None)
        output = output if child is None else child(output)
    return output


def make_notes(replacements: dict[Swappable, nn.Module]) -> tuple[str, ...]:
    """Return what to know before training or evaluating."""
    notes = []
    strict = [new for new in replacements.values() if isinstance(new, SampleNorm) and new.uneven == "error"]
    counts = sorted({new.gm for new in strict if new.gm > 1})
    if counts:
        notes.append(
            f"in training a batch must be a multiple of gm={' and of '.join(map(str, counts))}: "
            "let the loader drop the last, smaller one (drop_last=True), or give the norm uneven='unequal' or 'single'"
        )
    if any(isinstance(layer, nn.SyncBatchNorm) for layer in replacements):
        notes.append("statistics are no longer synchronized over devices: gm counts groups on each device")
    if any(restarts(layer, new) for layer, new in replacements.items()):
        notes.append(
            "running statistics start afresh, as those of a SeqNorm are of another quantity: "
            "train, or call seqnorm.update_statistics, before evaluating"
        )
    return tuple(notes)


def restarts(layer: Swappable, new: nn.Module) -> bool:
    """Whether a norm starts its running statistics afresh where those of a BatchNorm had been collected."""
    before, after = layer.running_mean, getattr(new, "running_mean", None)
    return (
        before is not None and after is not None and before is not after and not before.is_meta and bool(before.any())
    )


def read(
    model: nn.Module,
    swapped: Container[nn.Module],
    reasons: dict[nn.Module, str],
    notes: tuple[str, ...],
    sources: tuple[type[Swappable], ...],
) -> Conversion:
    """Report what a model holds now, path by path."""
    paths: list[str] = []
    kept: dict[str, str] = {}
    for path, layer in walk(model, swapped):
        if layer in swapped:
            paths.append(path)
        elif layer in reasons:
            kept[path] = reasons[layer]
    for path, _ in unregistered(model, partial(is_candidate, sources=sources)):
        kept[path] = (
            "a plain list, tuple or dict holds it, where torch does not look: use nn.ModuleList or nn.ModuleDict"
        )
    return Conversion(model=model, swapped=tuple(paths), kept=kept, notes=notes)


def walk(module: nn.Module, swapped: Container[nn.Module], path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Go through every path of a model, also those that lead to one layer, but not into layers that were swapped."""
    yield path, module
    if module not in swapped:
        for name, child in module._modules.items():
            if child is not None:
                yield from walk(child, swapped, f"{path}.{name}" if path else name)


def describe_nothing(model: nn.Module, report: Conversion, sources: tuple[type[Swappable], ...]) -> str:
    """Return a sentence on why nothing was swapped."""
    if report.kept:
        reasons = [f"{path or 'the model itself'}: {reason}" for path, reason in report.kept.items()]
        more = f"; and {len(reasons) - MAX_LISTED} more" if len(reasons) > MAX_LISTED else ""
        return f"no BatchNorm of this {type(model).__name__} was swapped. {'; '.join(reasons[:MAX_LISTED])}{more}"
    if _BatchNorm not in sources:
        return (
            f"no GhostNorm or SyncBatchNorm was found in this {type(model).__name__}: "
            "only these can become torch's BatchNorm1d, 2d or 3d."
        )
    already = sum(isinstance(layer, ChannelNorm) for layer in model.modules())
    has = f"; it has {already} layers of seqnorm already, which convert does not change" if already else ""
    return f"no BatchNorm was found in this {type(model).__name__}{has}. Looked for {LOOKED_FOR}."
