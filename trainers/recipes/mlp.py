"""What the recipes with fully connected networks share."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trainers.data.split import Images
from trainers.loop import train
from trainers.models.mlp import mlp
from trainers.norms import norm_of
from trainers.trial import Params, Report, Result


def run_mlp(hidden: Sequence[int], params: Params, report: Report) -> Result:
    """Train a fully connected network of the given hidden widths on ``params.data``."""
    images: Images = params.data
    torch.manual_seed(params.seed)
    pixels = int(torch.tensor(images.train_x.shape[1:]).prod())
    model = mlp(pixels, hidden, images.classes, norm_of(params))
    return train(model, images, params, report)
