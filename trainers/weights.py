"""Load a finished trial's network from its checkpoint."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from trainers.checkpoint import Checkpoint
from trainers.data.standardizer import Standardizer
from trainers.loop import make_network
from trainers.recipe import RecipeError, find, resolve
from trainers.run import check_format
from trainers.trial import Params


class Classifier(nn.Module):
    """A trained network for raw images: uint8 ``(M, C, H, W)`` in, logits ``(M, classes)`` out."""

    def __init__(self, network: nn.Module, standardizer: Standardizer) -> None:
        super().__init__()
        self.network = network
        self.standardizer = standardizer

    def forward(self, images: Tensor) -> Tensor:
        """Standardise as in training, and classify."""
        logits: Tensor = self.network(self.standardizer.apply(images))
        return logits


def load_model(folder: str | Path) -> Classifier:
    """Load a trial's network, in evaluation mode.

    Args:
        folder: of the trial, or its ``checkpoint.pt``; ``seqnorm show`` names the chosen point's.

    Raises:
        RecipeError: if there is no checkpoint, it is from another version, or its recipe is not installed.
    """
    folder = Path(folder)
    state = Checkpoint(folder.parent if folder.suffix == ".pt" else folder).load()
    if state is None:
        raise RecipeError(f"a folder with a trial's checkpoint is needed: got {folder}. seqnorm show ID names one.")
    check_format(state)
    identity = state["made_by"]
    recipe = find(identity["recipe"])
    if not recipe.build:
        raise RecipeError(f"a recipe must name its network to load it: got {recipe.name} without `build`.")
    params = Params(
        gm=identity["gm"],
        gc=identity["gc"],
        seed=identity["seed"],
        numbers=recipe.with_overrides(identity["numbers"]),
        normalize=identity["normalize"],
    )
    channels, height, width = identity["shape"]
    network = make_network(resolve(recipe.build), params, (channels, height, width), identity["classes"])
    network.load_state_dict(state["network"])
    mean, std = identity["standard"]
    return Classifier(network, Standardizer(tuple(mean), tuple(std))).eval()
