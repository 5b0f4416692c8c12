"""Batches from image files, decoded by NVIDIA DALI on the CPU, with the order, crops and flips of :mod:`.stream`.

Pixels differ from torchvision's in the rounding of the resize. Only this file imports ``nvidia.dali``, an extra.
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
from trainers.data.stream import BatchRequest, Stream, draw_crop, loader_workers, shorter_side

PREFETCH = 2  # batches decoded ahead

Sample = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]


class DaliStream(Stream):
    """A :class:`trainers.data.stream.Stream` that decodes with DALI, in threads instead of processes."""

    def read(self, files: Files, requests: list[BatchRequest], epoch: int = 0) -> Iterator[Batch]:
        """Yield one batch per request."""
        cuda = self.device.type == "cuda"
        pipeline = self._pipeline(files, requests, epoch)
        for number, request in enumerate(requests):
            try:
                (decoded,) = pipeline.run()
            except RuntimeError:  # from DALI, which does not know file names
                for row in (row for request in requests[number : number + PREFETCH + 1] for row in request.rows):
                    open_rgb(files.path(row))
                raise
            pixels = torch.from_numpy(np.asarray(decoded.as_tensor()))
            if cuda:
                pixels = pixels.pin_memory()  # copies: the next run overwrites DALI's buffer
            labels = torch.from_numpy(files.labels[request.rows])
            yield self.inputs(pixels.to(self.device, non_blocking=True)), labels.to(self.device)

    def _pipeline(self, files: Files, requests: list[BatchRequest], epoch: int) -> Any:
        """Build the pipeline that decodes the requested images to uint8 ``(M, S, S, 3)``."""
        fn, types = importlib.import_module("nvidia.dali.fn"), importlib.import_module("nvidia.dali.types")
        size = self.numbers.image_size
        decode = {"device": "cpu", "output_type": types.RGB, "adjust_orientation": False}  # like PIL
        resize = {"interp_type": types.INTERP_LINEAR, "antialias": True}
        part = {"axes": (0, 1), "normalized_anchor": False, "normalized_shape": False}
        pipeline = importlib.import_module("nvidia.dali").Pipeline(
            batch_size=self.share,
            num_threads=max(1, loader_workers(self.numbers.workers)),
            device_id=None,  # CPU pipeline (paper A.3: dali-cpu)
            prefetch_queue_depth=PREFETCH,
        )
        with pipeline:
            encoded, start, shape, flip = fn.external_source(
                source=(self._batch(files, request, epoch) for request in requests), num_outputs=4, batch=True
            )
            if requests and requests[0].positions is not None:
                crops = fn.decoders.image_slice(encoded, start, shape, **part, **decode)
                images = fn.resize(crops, size=(size, size), **resize)
            else:
                resized = fn.resize(fn.decoders.image(encoded, **decode), size=shape, **resize)
                images = fn.slice(resized, start, (float(size), float(size)), **part)
            pipeline.set_outputs(fn.flip(images, horizontal=flip))
        pipeline.build()
        return pipeline

    def _batch(self, files: Files, request: BatchRequest, epoch: int) -> tuple[list[Any], ...]:
        positions = [None] * len(request.rows) if request.positions is None else request.positions
        samples = [
            self._sample(files.path(row), position, epoch)
            for row, position in zip(request.rows, positions, strict=True)
        ]
        return tuple(map(list, zip(*samples, strict=True)))

    def _sample(self, path: str, position: int | None, epoch: int) -> Sample:
        """Return a file's bytes, the crop's anchor and shape as (height, width), and whether to flip."""
        try:
            encoded = np.fromfile(path, np.uint8)
            with Image.open(io.BytesIO(encoded.data)) as image:
                width, height = image.size
        except OSError:
            open_rgb(path)  # raises an error that names the file
            raise
        if position is None:
            high, wide = resized_shape(width, height, shorter_side(self.numbers.image_size))
            top, left = (round((side - self.numbers.image_size) / 2) for side in (high, wide))
            flip = False
        else:
            top, left, high, wide, flip = draw_crop(width, height, self.seed, epoch, position)
        return encoded, np.array([top, left], np.float32), np.array([high, wide], np.float32), np.array(flip, np.int32)
