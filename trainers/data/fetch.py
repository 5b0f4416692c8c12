"""Download data sets with torchvision, atomically: into a temporary folder first, then renamed into place."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from trainers.recipe import RecipeError


def fetch(name: str, root: Path, folder: str, archives: tuple[str, ...], download: Callable[[Path], object]) -> None:
    """Download a data set to ``root/folder``, replacing an existing one.

    Args:
        name: of the data set, for messages.
        root: folder below which torchvision finds it.
        folder: relative to ``root``; the folder of the data set.
        archives: relative to ``root``, what ``into`` unpacks; an existing one is not downloaded again.
        into: downloads below a given root and verifies the files; its output goes to stderr.

    Raises:
        RecipeError: with the cause; ``root/folder`` is then unchanged.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            fresh = Path(temporary)
            for archive in filter(lambda archive: (root / archive).is_file(), archives):
                (fresh / archive).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / archive, fresh / archive)  # not a link: a damaged archive is overwritten
            with contextlib.redirect_stdout(sys.stderr):
                download(fresh)
            (root / folder).parent.mkdir(parents=True, exist_ok=True)
            if (root / folder).exists():
                (root / folder).rename(fresh / "replaced")
            (fresh / folder).rename(root / folder)
    except (OSError, RuntimeError, HTTPException) as error:
        cause = " ".join(str(error).split()).rstrip(".")  # torchvision's messages have several lines
        raise RecipeError(
            f"{name} must be fetched whole: got {type(error).__name__}: {cause}. Try again, or put it at "
            f"{root / folder} by other means."
        ) from None
