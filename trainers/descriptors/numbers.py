"""The numbers that the training loop takes; a recipe's defaults are the paper's. Standard library only."""

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
    label_smoothing: float = number(0.0, "share of the label given to all classes", 0, 1)
    dropout: float = number(0.0, "probability (paper A.3: 0.03, 0.1, 0.2, 0.3, 0.4)", 0, 0.99)
    noise: float = number(0.0, "standard deviation σ of the noise before each norm (paper A.3: 3e-5 to 0.1)", 0)
    ghost_first: bool = number(False, "whether SeqNorm's two halves change places (paper A.4)")
    shared_var: bool = number(False, "whether a group's variance is taken over all channels (paper A.4)")
    standardize_weights: bool = number(False, "whether weights are standardised (paper A.4)")
    subset: int = number(0, "images of each split at the most; 0 for all", 0)
    accumulate: int = number(1, "passes that a step's gradient is accumulated over", 1)
    real_devices: int = number(1, "devices that a trial runs on", 1)
    device: str = number("auto", "kind of device; auto takes GPUs if there are any", choices=("auto", "cpu", "cuda"))
    precision: str = number("fp32", "of forward and backward pass", choices=("fp32", "bf16", "fp16"))
    loss_scale: float = number(0.0, "of fp16; 0 adapts it", 0)
    compile: bool = number(False, "whether torch.compile makes the network faster, after a minute or more")


@dataclass(frozen=True, kw_only=True)
class ImageNumbers(TrainingNumbers):
    """What networks of convolutions take beside that: augmentation, and the memory layout."""

    flip: bool = number(False, "whether images are mirrored left to right with probability one half")
    pad: int = number(0, "pixels of zeros around an image, before a crop of its size", 0)
    cutout: int = number(0, "pixels of the side of the square set to zero", 0)
    randaugment_n: int = number(0, "RandAugment's operations for each image", 0)
    randaugment_m: float = number(0.0, "RandAugment's magnitude", 0)
    magnitude_max: float = number(30.0, "the largest magnitude", 1)
    mixup: float = number(0.0, "α of the Beta distribution that images are mixed by; 0 for none", 0)
    image_size: int = number(32, "pixels of a side, where images are read from a folder", 1)
    workers: int = number(2, "processes that read images, where they do not fit in memory", 0)
    channels_last: bool = number(True, "whether channels are last in memory")
