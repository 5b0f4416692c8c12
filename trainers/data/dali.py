"""Batches from image files, decoded by NVIDIA DALI on the CPU: the same order, crops and flips as :mod:`.stream`'s.

Pixels differ from torchvision's by the rounding of another resize. Nothing else imports ``nvidia.dali``, an extra.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from trainers.data.folder import Files, open_rgb, resized_shape
from trainers.data.source import Batch
from trainers.data.stream import Stream, Task, crop_of, processes, shorter_side

AHEAD = 2  # batches that are decoded before they are asked for

Sample = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]


class DaliStream(Stream):
    """A :class:`trainers.data.stream.Stream` whose images DALI reads, with threads instead of processes."""

    def read(self, files: Files, tasks: list[Task], epoch: int = 0) -> Iterator[Batch]:
        """Yield a batch for each task."""
        cuda = self.device.type == "cuda"
        pipeline = self._pipeline(files, tasks, epoch)
        for number, task in enumerate(tasks):
            try:
                (decoded,) = pipeline.run()
            except RuntimeError:  # of DALI, which does not know the names of files
                for row in (row for task in tasks[number : number + AHEAD + 1] for row in task.rows):
                    open_rgb(files.path(row))
                raise
            pixels = torch.from_numpy(np.asarray(decoded.as_tensor()))
            if cuda:
                pixels = pixels.pin_memory()  # a copy, as the next run writes over DALI's own
            labels = torch.from_numpy(files.labels[task.rows])
            yield self.inputs(pixels.to(self.device, non_blocking=True)), labels.to(self.device)

    def _pipeline(self, files: Files, tasks: list[Task], epoch: int) -> Any:
        """Build what decodes the tasks' images to uint8 ``(M, S, S, 3)``."""
        fn, types = importlib.import_module("nvidia.dali.fn"), importlib.import_module("nvidia.dali.types")
        size = self.numbers.image_size
        decode = {"device": "cpu", "output_type": types.RGB, "adjust_orientation": False}  # as PIL leaves it
        resize = {"interp_type": types.INTERP_LINEAR, "antialias": True}
        part = {"axes": (0, 1), "normalized_anchor": False, "normalized_shape": False}
        pipeline = importlib.import_module("nvidia.dali").Pipeline(
            batch_size=self.share,
            num_threads=max(1, processes(self.numbers.workers)),
            device_id=None,  # no GPU: the figures are those of a pipeline on the CPU (paper A.3: dali-cpu)
            prefetch_queue_depth=AHEAD,
        )
        with pipeline:
            encoded, start, shape, flip = fn.external_source(
                source=(self._batch(files, task, epoch) for task in tasks), num_outputs=4, batch=True
            )
            if tasks and tasks[0].places is not None:
                crops = fn.decoders.image_slice(encoded, start, shape, **part, **decode)
                images = fn.resize(crops, size=(size, size), **resize)
            else:
                resized = fn.resize(fn.decoders.image(encoded, **decode), size=shape, **resize)
                images = fn.slice(resized, start, (float(size), float(size)), **part)
            pipeline.set_outputs(fn.flip(images, horizontal=flip))
        pipeline.build()
        return pipeline

    def _batch(self, files: Files, task: Task, epoch: int) -> tuple[list[Any], ...]:
        places = [None] * len(task.rows) if task.places is None else task.places
        samples = [self._sample(files.path(row), place, epoch) for row, place in zip(task.rows, places, strict=True)]
        return tuple(map(list, zip(*samples, strict=True)))

    def _sample(self, path: str, place: int | None, epoch: int) -> Sample:
        """Return a file's bytes, where to crop and what shape, in (height, width), and whether to flip."""
        try:
            encoded = np.fromfile(path, np.uint8)
            with Image.open(io.BytesIO(encoded.data)) as image:
                width, height = image.size
        except OSError:
            open_rgb(path)  # says so
            raise
        if place is None:
            high, wide = resized_shape(width, height, shorter_side(self.numbers.image_size))
            top, left = (round((side - self.numbers.image_size) / 2) for side in (high, wide))
            flip = False
        else:
            top, left, high, wide, flip = crop_of(width, height, self.seed, epoch, place)
        return encoded, np.array([top, left], np.float32), np.array([high, wide], np.float32), np.array(flip, np.int32)
