"""The numbers that the training loop uses; recipes set the paper's values as defaults. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.recipe import Numbers, number


@dataclass(frozen=True, kw_only=True)
class TrainingNumbers(Numbers):
    """Optimizer, execution, and the paper's ablations of the norm; by default plain SGD on one device."""

    momentum: float = number(0.0, "of SGD", 0, 1)
    nesterov: bool = number(False, "whether the momentum is Nesterov's")
    weight_decay: float = number(0.0, "L2, added to the gradient", 0)
    decay_norms: bool = number(True, "whether parameters named *bn* are decayed")
    clip: float = number(0.0, "largest L2 norm of the whole gradient; 0 for no limit", 0)
    label_smoothing: float = number(0.0, "label smoothing: share of the label spread over all classes", 0, 1)
    dropout: float = number(0.0, "probability (paper A.3: 0.03, 0.1, 0.2, 0.3, 0.4)", 0, 0.99)
    noise: float = number(0.0, "standard deviation σ of the noise before each norm (paper A.3: 3e-5 to 0.1)", 0)
    ghost_first: bool = number(False, "whether GhostNorm comes before GroupNorm (paper A.4)")
    shared_var: bool = number(False, "whether a group's variance is computed over all channels (paper A.4)")
    standardize_weights: bool = number(False, "whether weights are standardised (paper A.4)")
    subset: int = number(0, "largest number of images in each split; 0 for all", 0, of_data=True)
    accumulate: int = number(1, "passes per step, for gradient accumulation", 1, 2**16)
    real_devices: int = number(1, "devices per trial, each with a process", 1, 1024)
    device: str = number("auto", "kind of device; auto takes GPUs if there are any", choices=("auto", "cpu", "cuda"))
    precision: str = number("fp32", "of forward and backward pass", choices=("fp32", "bf16", "fp16"))
    loss_scale: float = number(0.0, "of fp16; 0 adapts it", 0)
    compile: bool = number(False, "whether to use torch.compile, which takes a minute or more at first")


@dataclass(frozen=True, kw_only=True)
class ImageNumbers(TrainingNumbers):
    """Additional numbers for convolutional networks: augmentation and memory format."""

    flip: bool = number(False, "whether to mirror images left to right with probability one half")
    pad: int = number(0, "pixels of zero padding before a random crop of the image's size", 0, 1024)
    cutout: int = number(0, "side of the square set to zero, in pixels", 0, 4096)
    randaugment_n: int = number(0, "RandAugment operations per image", 0, 100)
    randaugment_m: float = number(0.0, "RandAugment's magnitude", 0)
    magnitude_max: float = number(30.0, "the largest magnitude", 1)
    mixup: float = number(0.0, "α of mixup's Beta distribution; 0 for no mixup", 0)
    image_size: int = number(32, "side of images read from a folder, in pixels", 1, 4096, of_data=True)
    workers: int = number(2, "DataLoader workers, for images that do not fit in memory", 0, 256)
    channels_last: bool = number(True, "whether to use the channels_last memory format")
