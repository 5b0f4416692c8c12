"""Images in one ``.npz`` file: ``x`` uint8 ``[N,H,W]`` or ``[N,H,W,C]``, ``y`` integers ``[N]``. Never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from trainers.data.split import Labels, Pixels
from trainers.recipe import RecipeError

FORM = "x uint8 [N,H,W] or [N,H,W,C] and y integers [N], e.g. numpy.savez(file, x=x, y=y)"


def read(path: str | Path) -> tuple[Pixels, Labels]:
    """Read and check a file.

    Raises:
        RecipeError: if the file is missing or does not have this form.
    """
    if not Path(path).is_file():
        raise RecipeError(f"--data must name an existing .npz file: got {path}. Give one with {FORM}.")
    try:
        with Path(path).open("rb") as file:  # numpy leaks the handle of a broken file that it opened
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            with arrays:
                x, y = arrays["x"], arrays["y"]
        if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):  # numpy returns other members as bytes
            raise ValueError("its x or y is no array")
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RecipeError(f"--data must be an .npz file without pickles: got {path} ({error}). Give {FORM}.") from None
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or 0 in x.shape[1:]:
        raise RecipeError(
            f"x must be uint8 [N,H,W] or [N,H,W,C]: got {x.dtype} {list(x.shape)} in {path}. Give {FORM}."
        )
    if not np.issubdtype(y.dtype, np.integer) or y.shape != x.shape[:1]:
        raise RecipeError(
            f"y must be one integer per image: got {y.dtype} {list(y.shape)} for {len(x)} images in {path}. "
            f"Give {FORM}."
        )
    y = y.astype(np.int64)
    labels = np.unique(y)
    if len(labels) < 2 or not np.array_equal(labels, np.arange(len(labels))):
        raise RecipeError(
            f"y must hold every label from 0 to the last, of 2 classes or more: got {labels[:5]} in {path}. "
            f"Give {FORM}."
        )
    return x, y
