"""The descriptor of the recipe.

The command line and the web pages read it to list the recipe, check gm and gc, and draw its form. They do so without
torch, so nothing here may import it; what trains is in ``training.py``, which only a trial imports.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainers.descriptors.numbers import ImageNumbers
from trainers.recipe import Recipe, number


@dataclass(frozen=True, kw_only=True)
class OwnNumbers(ImageNumbers):
    """All that `--set NAME=VALUE` may change; optimizer, augmentation and the ablations are inherited."""

    batch: int = number(32, "samples per step", 1)  # gm must divide it, and leave groups of min_group=4 or more
    momentum: float = number(0.9, "of SGD", 0, 1)  # an inherited number with another default
    width: int = number(16, "channels of both convolutions", 1)  # default, unit, least value


RECIPE = Recipe(
    name="own-recipe",
    title="two convolutions on your own images (--data)",
    numbers=OwnNumbers,
    widths=lambda numbers: (numbers.width, numbers.width),  # of every normalized layer: gc must divide them all
    run="own_recipe.training:run",  # what a trial calls
    build="own_recipe.training:build",  # what loads a trained network again, and measures its loss landscape
    load="trainers.data.own:load",  # an .npz file or a folder of images; or a function of yours
    check_data="trainers.data.own:check",
    identify_data="trainers.data.own:identify",
    data="an .npz file or an image folder; needed",
)
