"""Networks of torchvision and timm, by name, with every BatchNorm replaced."""

from __future__ import annotations

import importlib
import warnings
from difflib import get_close_matches
from typing import Any

import torch
import torchvision
from torch import nn

from seqnorm import Conversion, convert
from trainers.models.mlp import NormFactory
from trainers.recipe import RecipeError

MAX_LISTED = 3  # layers listed in an error
# An auxiliary classifier makes their output a tuple; an unset init_weights warns.
WITH_AUXILIARY_CLASSIFIER = ("googlenet", "inception_v3")


def named_model(reference: str, classes: int, channels: int, norm: NormFactory) -> nn.Module:
    """Build ``torchvision:NAME`` or ``timm:NAME``, untrained, and replace every BatchNorm.

    Args:
        reference: an image classifier, e.g. ``torchvision:resnet18``; models of timm need timm installed.
        classes: of the output ``(M, classes)``.
        channels: C of the input ``(M, C, H, W)``.
        norm: makes the normalization layers.

    Raises:
        RecipeError: for an unknown library or model, one without BatchNorm, or one with a width that ``norm`` refuses.
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # if no layer was swapped, check_conversion says so in terms of the recipe
        conversion = convert(model, norm)
    check_conversion(reference, conversion)
    if isinstance(conversion.model.get_submodule(conversion.swapped[0]), nn.Identity):
        disable_inplace(conversion.model)
    return conversion.model


def torchvision_names() -> list[str]:
    """Return the names of torchvision's image classifiers, without detection, video and other models."""
    found: list[str] = torchvision.models.list_models(module=torchvision.models)
    return found


def from_torchvision(name: str, classes: int, channels: int) -> nn.Module:
    """Build an untrained model of torchvision.

    Raises:
        RecipeError: if there is none with that name.
    """
    check_name("torchvision", name, torchvision_names())
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in WITH_AUXILIARY_CLASSIFIER:
        options |= {"aux_logits": False, "init_weights": True}
    model: nn.Module = torchvision.models.get_model(name, **options)
    set_input_channels(model, channels)
    return model


def from_timm(name: str, classes: int, channels: int) -> nn.Module:
    """Build an untrained model of timm.

    Raises:
        RecipeError: if timm is not installed, or has no such model.
    """
    try:
        timm = importlib.import_module("timm")
    except ModuleNotFoundError:
        raise RecipeError(f"timm must be installed for its models: got 'timm:{name}'. Run pip install timm.") from None
    check_name("timm", name, timm.list_models())  # create_model would download hf-hub:NAME and read local-dir:PATH
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, in_chans=channels)
    return model


def set_input_channels(model: nn.Module, channels: int) -> None:
    """Give the first convolution ``channels`` inputs, initialized at the scale of the original weight."""
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    if first.in_channels == channels:
        return
    weight = torch.empty(first.out_channels, channels, *first.kernel_size)
    first.weight = nn.Parameter(nn.init.normal_(weight, std=first.weight.std().item()))
    first.in_channels = channels


def disable_inplace(model: nn.Module) -> None:
    """Disable in-place activations: without a norm before them, they would overwrite the input of a shortcut."""
    for layer in model.modules():
        if getattr(layer, "inplace", False):
            setattr(layer, "inplace", False)  # noqa: B010 - a module's attributes are tensors to the type checker


def check_name(library: str, name: str, known: list[str]) -> None:
    """Check that a library has a model.

    Raises:
        RecipeError: suggesting similar names.
    """
    if name not in known:
        raise RecipeError(
            f"{library} has no model of that name for classifying images: got {name!r}. "
            f"{suggestion(library, name, known)}"
        )


def suggestion(library: str, name: str, known: list[str]) -> str:
    """Suggest similar names, or else one that works."""
    close = get_close_matches(name.lower(), known) or ["resnet18"]
    return f"Try {', '.join(f'{library}:{one}' for one in close)}."


def check_conversion(reference: str, conversion: Conversion) -> None:
    """Check that every BatchNorm was replaced, and at least one.

    Raises:
        RecipeError: listing the layers that were kept, and why.
    """
    if conversion.kept:
        reasons = [f"{path}: {reason.rstrip('.')}" for path, reason in conversion.kept.items()]
        more = f"; and {len(reasons) - MAX_LISTED} more" if len(reasons) > MAX_LISTED else ""
        remedy = "another gc or " * any(reason.startswith("gc ") for reason in conversion.kept.values())
        raise RecipeError(
            f"every BatchNorm of a model must be swapped: got {reference!r}, where {len(reasons)} cannot: "
            f"{'; '.join(reasons[:MAX_LISTED])}{more}. Choose {remedy}another model."
        )
    if not conversion.swapped:
        raise RecipeError(
            f"a model must have BatchNorm layers to tune: got {reference!r}, which has none. "
            "Choose another, e.g. torchvision:resnet18."
        )
