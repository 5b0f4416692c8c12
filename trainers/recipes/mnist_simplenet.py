"""mnist-simplenet: 784-512-300-10 on MNIST (paper A.2).

The paper reports curves only (Figures 2 and 6): best at gm 64, groups of 8, on the full set and a single GPU. It is
silent on epochs, momentum, weight decay and initialization; here 30, none, none and torch's own. Inputs are
standardised by one mean and one variance over all training pixels; a norm follows each hidden layer, before its ReLU.
"""

from __future__ import annotations

from trainers.descriptors.mnist_simplenet import WIDTHS
from trainers.recipes.mlp import run_mlp
from trainers.trial import Params, Report, Result


def run(params: Params, report: Report) -> Result:
    """Train SimpleNet with plain SGD at a constant learning rate."""
    return run_mlp(WIDTHS, params, report)
