"""A finished trial's network, read back from its checkpoint."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from trainers.checkpoint import Checkpoint
from trainers.data.standard import Standard
from trainers.loop import make_network
from trainers.recipe import RecipeError, find, resolve
from trainers.run import check_format
from trainers.trial import Params


class Classifier(nn.Module):
    """A trained network that takes images as they are: uint8 ``(M, C, H, W)`` in, logits ``(M, classes)`` out."""

    def __init__(self, network: nn.Module, standard: Standard) -> None:
        super().__init__()
        self.network = network
        self.standard = standard

    def forward(self, images: Tensor) -> Tensor:
        """Standardise as in training, and classify."""
        logits: Tensor = self.network(self.standard.apply(images))
        return logits


def load_model(folder: str | Path) -> Classifier:
    """Read the network that a trial has kept, in evaluation mode.

    Args:
        folder: of the trial, or its ``checkpoint.pt``; ``seqnorm show`` names the chosen point's.

    Raises:
        RecipeError: if there is none, or it is of another version, or its recipe is not installed.
    """
    folder = Path(folder)
    state = Checkpoint(folder.parent if folder.suffix == ".pt" else folder).load()
    if state is None:
        raise RecipeError(f"a folder with a trial's checkpoint is needed: got {folder}. seqnorm show names one.")
    check_format(state)
    made = state["made_by"]
    recipe = find(made["recipe"])
    if not recipe.build:
        raise RecipeError(f"a recipe must name its network to load it: got {recipe.name} without `build`.")
    params = Params(
        gm=made["gm"],
        gc=made["gc"],
        seed=made["seed"],
        numbers=recipe.with_overrides(made["numbers"]),
        normalize=made["normalize"],
    )
    channels, height, width = made["shape"]
    network = make_network(resolve(recipe.build), params, (channels, height, width), made["classes"])
    network.load_state_dict(state["network"])
    mean, std = made["standard"]
    return Classifier(network, Standard(tuple(mean), tuple(std))).eval()
