"""The 1,797 real handwritten digits of 8 × 8 pixels that scikit-learn bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainers.data.split import Images, SplitNumbers, prepare_splits, split_in_three


def load(numbers: SplitNumbers, data: str | None, home: Path) -> Images:
    """Return the digits, split 1,295 / 252 / 250; ``data`` and ``home`` are not used."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)  # pixels are counts from 0 to 16
    pixels = x.astype(np.uint8).reshape(-1, 8, 8)
    images = split_in_three(pixels, y.astype(np.int64), numbers.split_seed, "the digits of scikit-learn")
    return prepare_splits(images, numbers)
