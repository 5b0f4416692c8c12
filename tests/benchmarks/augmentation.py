"""Our augmentation of whole batches against torchvision's, image by image in the workers of a torch DataLoader.

Both make normalized float32 batches of 512 from the same 4,096 pieces of photographs, 3 × 32 × 32, on all cores: ours
with that many threads, theirs with that many workers, which live through all repetitions. Run it on an idle machine:
where another process holds a core, torch's threads wait for one another in every operation, and workers do not.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tests.benchmarks.layers import Step, lower_quartiles
from trainers.augment.augmentation import Augmentation

BATCH, BATCHES, REPETITIONS = 512, 8, 12
MEAN, STD = (0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)


def pieces(images: int = BATCH * BATCHES) -> Tensor:
    """Return uint8 (images, 3, 32, 32), cut from two photographs."""
    photographs = [torch.tensor(photograph).permute(2, 0, 1) for photograph in load_sample_images().images]
    rows, columns = torch.randint(380, (2, images), generator=torch.Generator().manual_seed(0)).tolist()
    return torch.stack(
        [photographs[i % 2][:, rows[i] : rows[i] + 32, columns[i] : columns[i] + 32] for i in range(images)]
    )


class Cutout:
    """Sets a square to zero, clipped at the edges."""

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        top, left = (int(torch.randint(size, ())) - self.side // 2 for size in (height, width))
        image[:, max(0, top) : max(0, top + self.side), max(0, left) : max(0, left + self.side)] = 0
        return image


class Photographs(Dataset):
    """Images as torchvision's CIFAR10 keeps and gives them, as PIL images; or as tensors."""

    def __init__(self, pixels: Tensor, transform: Callable[[object], Tensor], pil: bool) -> None:
        self.images = pixels.permute(0, 2, 3, 1).contiguous().numpy() if pil else list(pixels)
        self.transform, self.pil = transform, pil

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        image = self.images[index]
        return self.transform(Image.fromarray(image) if self.pil else image)


def per_image(pixels: Tensor, randaugment: bool, pil: bool, workers: int) -> Step:
    """Return a step that makes every batch with torchvision's transforms."""
    transform = transforms.Compose(
        [
            *([transforms.RandAugment(num_ops=2, magnitude=14)] if randaugment else []),
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor() if pil else transforms.ConvertImageDtype(torch.float32),
            transforms.Normalize(MEAN, STD),
            Cutout(16),
        ]
    )
    data = Photographs(pixels, transform, pil)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=True)

    def step() -> None:
        for batch in loader:
            assert batch.shape == (BATCH, 3, 32, 32)

    return step


def batched(pixels: Tensor, randaugment: bool) -> Step:
    """Return a step that makes every batch with ours."""
    augmentation = Augmentation(
        flip=True, pad=4, cutout=16, randaugment_n=2 if randaugment else 0, randaugment_m=14 if randaugment else 0
    )
    generator = torch.Generator().manual_seed(0)
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def step() -> None:
        for rows in torch.randperm(len(pixels), generator=generator).split(BATCH):
            draws = augmentation.draw(len(rows), 32, 32, generator)
            changed = augmentation.augment_pixels(pixels[rows], draws)
            batch = augmentation.augment_inputs(changed.float().sub_(mean).div_(std), draws)
            assert batch.shape == (BATCH, 3, 32, 32)

    return step


def main() -> None:
    """Print the table."""
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    torch.set_num_threads(cores)
    torch.manual_seed(0)
    pixels = pieces()
    print(f"Batches of {BATCH}, 3 × 32 × 32, {cores} cores each; torchvision's time over ours.\n")
    print("| augmentation | ms a batch, torchvision | ms a batch, ours | ratio | bound |\n|---|---|---|---|---|")
    for randaugment in (True, False):
        name = f"{'RandAugment (2, 14), ' if randaugment else ''}crop, flip, Cutout"
        steps = [per_image(pixels, randaugment, pil, cores) for pil in (True, False)]
        *theirs, ours = lower_quartiles(*steps, batched(pixels, randaugment), repetitions=REPETITIONS)
        for images, taken in zip(("PIL images", "tensors"), theirs, strict=True):
            milliseconds = f"{taken / BATCHES:.1f} | {ours / BATCHES:.2f}"
            print(f"| {name}; torchvision on {images} | {milliseconds} | {taken / ours:.1f} | ≥ 5 |", flush=True)
    torch.set_num_threads(threads)
