"""Data sets that torchvision can fetch: into a folder of their own first, so that none is ever there by half."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from trainers.recipe import RecipeError


def fetch(name: str, root: Path, folder: str, archives: tuple[str, ...], into: Callable[[Path], object]) -> None:
    """Put a data set at ``root/folder``, in place of what may be there.

    Args:
        name: of the data set, for a person.
        root: below which torchvision finds it.
        folder: relative to ``root``, the one that the data set fills.
        archives: relative to ``root``, what ``into`` unpacks; one that lies there is not downloaded again.
        into: downloads below a root, with progress on stderr, and checks what it got.

    Raises:
        RecipeError: with the cause; what lay at ``root/folder`` is then as it was.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            fresh = Path(temporary)
            for archive in filter(lambda archive: (root / archive).is_file(), archives):
                (fresh / archive).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / archive, fresh / archive)  # no link: a wrong one is written over
            with contextlib.redirect_stdout(sys.stderr):
                into(fresh)
            (root / folder).parent.mkdir(parents=True, exist_ok=True)
            if (root / folder).exists():
                (root / folder).rename(fresh / "replaced")
            (fresh / folder).rename(root / folder)
    except (OSError, RuntimeError, HTTPException) as error:
        cause = " ".join(str(error).split()).rstrip(".")  # torchvision's has lines
        raise RecipeError(
            f"{name} must be fetched whole: got {type(error).__name__}: {cause}. Try again, or put it at "
            f"{root / folder} by other means."
        ) from None
