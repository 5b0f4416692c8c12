"""Networks of torchvision and timm, by name, with every BatchNorm swapped."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import Any

import torch
import torchvision
from torch import nn

from seqnorm import Conversion, convert
from trainers.models.mlp import NormFactory
from trainers.recipe import RecipeError

SHOWN = 3  # layers that a refusal names
# Their second classifier makes the output a tuple; unasked for, their own start is one warning more.
WITH_SECOND_CLASSIFIER = ("googlenet", "inception_v3")


def named_model(reference: str, classes: int, channels: int, norm: NormFactory) -> nn.Module:
    """Build ``torchvision:NAME`` or ``timm:NAME``, untrained, and swap every BatchNorm of it.

    Args:
        reference: a model for classifying images, e.g. ``torchvision:resnet18``; timm must be installed for its own.
        classes: of the output ``(M, classes)``.
        channels: C of the input ``(M, C, H, W)``.
        norm: makes the normalization layers.

    Raises:
        RecipeError: for an unknown library or model, one without BatchNorm, or one with a layer that ``norm`` refuses.
    """
    library, colon, name = reference.partition(":")
    if not colon or library not in ("torchvision", "timm"):
        raise RecipeError(
            f"a model is torchvision:NAME or timm:NAME: got {reference!r}. "
            f"{suggestion('torchvision', name if colon else reference, torchvision_names())}"
        )
    if library == "torchvision":
        model = from_torchvision(name, classes, channels)
    else:
        model = from_timm(name, classes, channels)
    conversion = convert(model, norm)
    check_conversion(reference, conversion)
    if isinstance(conversion.model.get_submodule(conversion.swapped[0]), nn.Identity):
        spare_inputs(conversion.model)
    return conversion.model


def torchvision_names() -> list[str]:
    """Name torchvision's models for classifying images; those for detection, video and the like are elsewhere."""
    found: list[str] = torchvision.models.list_models(module=torchvision.models)
    return found


def from_torchvision(name: str, classes: int, channels: int) -> nn.Module:
    """Build an untrained model of torchvision.

    Raises:
        RecipeError: if it has none of that name.
    """
    check_name("torchvision", name, torchvision_names())
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in WITH_SECOND_CLASSIFIER:
        options |= {"aux_logits": False, "init_weights": True}
    model: nn.Module = torchvision.models.get_model(name, **options)
    take_channels(model, channels)
    return model


def from_timm(name: str, classes: int, channels: int) -> nn.Module:
    """Build an untrained model of timm.

    Raises:
        RecipeError: if timm is not installed, or has none of that name.
    """
    try:
        timm = importlib.import_module("timm")
    except ModuleNotFoundError:
        raise RecipeError(f"timm must be installed for its models: got 'timm:{name}'. Run pip install timm.") from None
    check_name("timm", name, timm.list_models())  # its own check would fetch hf-hub:NAME, and read local-dir:PATH
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, in_chans=channels)
    return model


def take_channels(model: nn.Module, channels: int) -> None:
    """Give the first convolution ``channels`` inputs, drawn to the scale that the model started it with."""
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    if first.in_channels == channels:
        return
    weight = torch.empty(first.out_channels, channels, *first.kernel_size)
    first.weight = nn.Parameter(nn.init.normal_(weight, std=first.weight.std().item()))
    first.in_channels = channels


def spare_inputs(model: nn.Module) -> None:
    """Let no activation write over its input: without a norm between, that may be what a shortcut still needs."""
    for layer in model.modules():
        if getattr(layer, "inplace", False):
            setattr(layer, "inplace", False)  # noqa: B010 - a module's attributes are tensors to the type checker


def check_name(library: str, name: str, known: list[str]) -> None:
    """Refuse a model that a library does not have.

    Raises:
        RecipeError: with the names that come close.
    """
    if name not in known:
        raise RecipeError(
            f"{library} has no model of that name for classifying images: got {name!r}. "
            f"{suggestion(library, name, known)}"
        )


def suggestion(library: str, name: str, known: list[str]) -> str:
    """Name what comes close, or else something that works."""
    close = get_close_matches(name.lower(), known) or ["resnet18"]
    return f"Try {', '.join(f'{library}:{one}' for one in close)}."


def check_conversion(reference: str, conversion: Conversion) -> None:
    """Refuse a model that would train with none of the norms asked for, or with some of its own.

    Raises:
        RecipeError: with the layers that stayed, and why.
    """
    if conversion.kept:
        reasons = [f"{path}: {reason.rstrip('.')}" for path, reason in conversion.kept.items()]
        more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
        raise RecipeError(
            f"every BatchNorm of a model must be swapped: got {reference!r}, where {len(reasons)} cannot: "
            f"{'; '.join(reasons[:SHOWN])}{more}. Choose another gc or another model."
        )
    if not conversion.swapped:
        raise RecipeError(
            f"a model must have BatchNorm layers to tune: got {reference!r}, which has none. "
            "Choose another, e.g. torchvision:resnet18."
        )
