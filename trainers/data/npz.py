"""Images in one ``.npz`` file: ``x`` uint8 ``[N,H,W]`` or ``[N,H,W,C]``, ``y`` integers ``[N]``. Never unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from trainers.data.split import Labels, Pixels
from trainers.recipe import RecipeError

FORM = "x uint8 [N,H,W] or [N,H,W,C] and y integers [N], e.g. numpy.savez(file, x=x, y=y)"


def read(path: str | Path) -> tuple[Pixels, Labels]:
    """Read and check a file.

    Raises:
        RecipeError: if the file is missing or not of this form.
    """
    if not Path(path).is_file():
        raise RecipeError(f"--data must name an existing .npz file: got {path}. Give one with {FORM}.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            x, y = arrays["x"], arrays["y"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise RecipeError(f"--data must be an .npz file without pickles: got {path} ({error}). Give {FORM}.") from None
    if x.dtype != np.uint8 or x.ndim not in (3, 4):
        raise RecipeError(
            f"x must be uint8 [N,H,W] or [N,H,W,C]: got {x.dtype} {list(x.shape)} in {path}. Give {FORM}."
        )
    if not np.issubdtype(y.dtype, np.integer) or y.shape != x.shape[:1]:
        raise RecipeError(
            f"y must be one integer per image: got {y.dtype} {list(y.shape)} for {len(x)} images in {path}. "
            f"Give {FORM}."
        )
    if not len(y) or y.min() < 0 or len(np.unique(y)) < 2:
        raise RecipeError(
            f"y must hold labels from 0 of 2 classes or more: got {np.unique(y)[:5]} in {path}. Give {FORM}."
        )
    return x, y.astype(np.int64)
