"""The line of numpy that turns arrays of another form into those that an ``.npz`` file of images needs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.data.listing import first_few, is_image

Shape = tuple[int, ...]
CHANNELS_LAST = ".transpose(0, 2, 3, 1)"
MOST_CHANNELS = 4  # of ordinary images
NUMBERED = "numpy.unique(y, return_inverse=True)[1]"
IMAGES = ("x", "images", "image", "imgs", "data", "features", "pixels", "inputs", "arr_0")
LABELS = ("y", "labels", "label", "targets", "target", "classes", "arr_1")
GIVE_FOLDER = "unpack it and give the folder"
PARTS = re.compile(r"_?(train|training|val|valid|validation|test|dev)_?", re.IGNORECASE)


@dataclass(frozen=True)
class Range:
    """The range of numbers that were looked at."""

    least: float = math.inf
    most: float = -math.inf
    finite: bool = True  #: whether all are

    def widen(self, numbers: NDArray[Any]) -> Range:
        """Include more numbers."""
        finite = numbers[np.isfinite(numbers)]
        whole = replace(self, finite=self.finite and len(finite) == len(numbers))
        if not len(finite):
            return whole
        return replace(whole, least=min(self.least, float(finite.min())), most=max(self.most, float(finite.max())))


def channels_are_first(shape: Shape) -> bool:
    """Return whether a shape is taken for ``[N,C,H,W]``: few channels, or fewer than the images are high and wide.

    An image in ``[N,H,W,C]`` is neither four pixels high, nor lower than it is wide and has channels.
    """
    if len(shape) != 4 or shape[3] <= MOST_CHANNELS:
        return False
    return 0 < shape[1] <= MOST_CHANNELS or 0 < shape[1] < min(shape[2:])


def fix_images(shape: Shape, dtype: Any, values: Range) -> str:
    """Return what to do about images of another type or shape; nothing if that is not known."""
    if dtype.hasobject:
        return "Make the images one size and numpy.stack them, or give a folder of image files."
    if not values.finite:
        return "x holds NaN or infinite values: leave out those images or replace the values, then save it as uint8."
    bytes_, laid_out = _to_bytes(dtype, values), _to_layout(shape)
    if bytes_ is None or laid_out is None or not (bytes_ or laid_out):
        return ""
    expression = f"{bytes_ or 'x'}{laid_out}"
    return f"Save it as numpy.savez(file, x={expression}, y=y)."


def _to_bytes(dtype: Any, values: Range) -> str | None:
    """Return an expression for x as uint8: empty if it is; None if that is not known."""
    if dtype == np.uint8:
        return ""
    if dtype == np.bool_:
        return "x.astype('uint8')"
    if dtype.kind not in "iuf" or values.most < values.least:
        return None
    if values.least < 0:
        return "numpy.interp(x, (x.min(), x.max()), (0, 255)).round().astype('uint8')"
    if dtype.kind == "f" and values.most <= 1:
        return "(x * 255).round().astype('uint8')"
    if values.most <= 255:
        return "x.round().astype('uint8')" if dtype.kind == "f" else "x.astype('uint8')"
    return "(x / x.max() * 255).round().astype('uint8')"


def _to_layout(shape: Shape) -> str | None:
    """Return what to append to x for ``[N,H,W]`` or ``[N,H,W,C]``: nothing if it is; None if that is not known."""
    if channels_are_first(shape):
        return CHANNELS_LAST
    if len(shape) == 2:
        for channels, end in ((1, ""), (3, CHANNELS_LAST)):
            side = math.isqrt(shape[1] // channels)
            if side > 1 and channels * side * side == shape[1]:
                return f".reshape(-1, {'3, ' * (channels == 3)}{side}, {side}){end}"
        return None
    return "" if len(shape) in (3, 4) and 0 not in shape[1:] else None


def fix_labels(shape: Shape, dtype: Any, images: Shape, fractions: NDArray[Any] | None) -> str:
    """Return what to do about labels of another type or shape; nothing if that is not known.

    Args:
        shape: of the labels.
        dtype: of the labels.
        images: the shape of x.
        fractions: the labels, if they are floating-point numbers.
    """
    if dtype.hasobject:
        return "Objects are never unpickled: save y as an array of integers or text."
    if len(shape) == 1 and shape[0] == images[-1] > images[0]:
        return "The images are along the last axis of x: save it as numpy.savez(file, x=numpy.moveaxis(x, -1, 0), y=y)."
    if not shape or shape[0] != images[0]:
        return "Give as many labels as images."
    if fractions is not None and not np.isfinite(fractions).all():
        return "y holds NaN or infinite values: leave out those images, and save y as integers."
    if len(shape) == 2 and shape[1] > 1 and dtype.kind in "iufb":
        return "If y is one-hot, save it as numpy.savez(file, x=x, y=y.argmax(axis=1))."
    if len(shape) == 2 and shape[1] == 1:
        return f"Save it as numpy.savez(file, x=x, y=y.ravel(){'' if dtype.kind in 'iu' else '.astype(int)'})."
    if len(shape) > 1:
        return ""
    if dtype.kind in "US":
        return f"Number the classes: numpy.savez(file, x=x, y={NUMBERED})."
    if fractions is not None and (fractions != fractions.round()).any():
        return "y holds fractions, and classes are numbered 0, 1, 2, …: y cannot be a quantity to predict."
    return "Save it as numpy.savez(file, x=x, y=y.astype(int))." if dtype.kind in "fb" else ""


def fix_classes(found: NDArray[np.int64]) -> str:
    """Return what to do about labels that are not 0, 1, 2, …; nothing if there are fewer than two."""
    if len(found) < 2:
        return ""
    if found[0] < 0:
        return f"Leave out images without a label (x[y >= 0], y[y >= 0]), or number the classes: y={NUMBERED}."
    if np.array_equal(found, np.arange(1, len(found) + 1)):
        return "Labels start at 0: numpy.savez(file, x=x, y=y - 1)."
    return f"Labels must have no gaps: numpy.savez(file, x=x, y={NUMBERED})."


def describe_members(names: Sequence[str]) -> str:
    """Return the names of a file's members for people."""
    return first_few([repr(name.removesuffix(".npy")[:40])[1:-1] for name in names])


def fix_members(names: Sequence[str]) -> str:
    """Return how to save arrays of other names as x and y; nothing if none of them is known."""
    arrays = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if not arrays and any(map(is_image, names)):
        return f"If it is an archive of image files, {GIVE_FOLDER}."
    images, labels = ({_part(name): name for name in arrays if _word(name) in words} for words in (IMAGES, LABELS))
    known = sum(_word(name) in IMAGES + LABELS for name in arrays)
    if not images or images.keys() != labels.keys() or known != 2 * len(images):
        return ""
    xs, ys = (", ".join(f"old[{found[part]!r}]" for part in images) for found in (images, labels))
    if len(images) > 1:
        xs, ys = (f"numpy.concatenate([{each}])" for each in (xs, ys))
    anew = " It is then split anew; folders keep the given splits." if len(images) > 1 else ""
    return f"Save it as old = numpy.load(file); numpy.savez(new, x={xs}, y={ys}).{anew}"


def _part(name: str) -> str:
    """Return the split that an array's name tells, e.g. `train` of `x_train`."""
    found = PARTS.search(name)
    return found[1].lower() if found else ""


def _word(name: str) -> str:
    return PARTS.sub("", name).lower()
