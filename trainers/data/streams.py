"""Which stream reads a folder of images: NVIDIA DALI's or torchvision's."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from trainers.data.imagenet import Folders
from trainers.data.source import Source
from trainers.data.stream import DALI, Stream, StreamNumbers
from trainers.recipe import RecipeError


def make_stream(
    folders: Folders, numbers: StreamNumbers, device: torch.device, seed: int, rank: int = 0, devices: int = 1
) -> Source:
    """Return the stream that ``numbers.loader`` names; ``auto`` takes DALI if it is installed and the device is a GPU.

    Raises:
        RecipeError: if DALI is requested but not installed, or the devices cannot share a batch.
    """
    installed = find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None
    if numbers.loader == "dali" and not installed:
        raise RecipeError(
            f"loader=dali needs NVIDIA DALI: got none installed. Install it (pip install {DALI}), or choose "
            "--set loader=torchvision."
        )
    if numbers.loader == "dali" or (numbers.loader == "auto" and installed and device.type == "cuda"):
        from trainers.data.dali import DaliStream

        return DaliStream(folders, numbers, device, seed, rank, devices)
    return Stream(folders, numbers, device, seed, rank, devices)
