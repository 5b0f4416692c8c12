"""The width of every normalized layer of a residual network, first to last. Standard library only.

Descriptors use these without torch; :mod:`trainers.models` builds the networks by the same rules.
"""

from __future__ import annotations

from trainers.recipe import RecipeError

CIFAR_STAGES = 3
IMAGENET_STAGES = 4
WIDE_STEM = 16  #: channels of a Wide ResNet's first convolution, whatever its width
MAX_BLOCKS = 200  #: per stage, as in He's ResNet-1202; bounds the memory that a request can take


def cifar_resnet_widths(depth: int, width: int) -> tuple[int, ...]:
    """Return the channels of each norm of :func:`trainers.models.resnet.cifar_resnet`."""
    blocks = cifar_resnet_blocks(depth)
    widths = [width]
    for stage in range(CIFAR_STAGES):
        widths += [width * 2**stage] * (2 * blocks)
    return tuple(widths)


def imagenet_resnet_widths(blocks: int, width: int) -> tuple[int, ...]:
    """Return the channels of each norm of :func:`trainers.models.resnet.imagenet_resnet`."""
    check_blocks(blocks)
    widths = [width]
    for stage in range(IMAGENET_STAGES):
        shortcut = 1 if stage > 0 else 0  # the first stage keeps width and size: its shortcut has no norm
        widths += [width * 2**stage] * (2 * blocks + shortcut)
    return tuple(widths)


def wide_resnet_widths(depth: int, width: int) -> tuple[int, ...]:
    """Return the channels of each norm of :func:`trainers.models.wide_resnet.wide_resnet`."""
    blocks = wide_resnet_blocks(depth)
    widths = [WIDE_STEM]  # norms precede convolutions: the first of a stage has the previous stage's width
    for stage in range(CIFAR_STAGES):
        widths += [WIDE_STEM * width * 2**stage] * (2 * blocks)
    return tuple(widths)


def cifar_resnet_blocks(depth: int) -> int:
    """Return n of depth 6n + 2: the blocks in each of three stages (He et al., 2015, section 4.2)."""
    return blocks_for_depth(depth, 2, "CIFAR ResNet")


def wide_resnet_blocks(depth: int) -> int:
    """Return n of depth 6n + 4: the blocks in each of three stages (Zagoruyko & Komodakis, 2016, section 3)."""
    return blocks_for_depth(depth, 4, "Wide ResNet")


def blocks_for_depth(depth: int, others: int, network: str) -> int:
    """Return n of depth 6n + ``others``.

    Raises:
        RecipeError: if there is no such n in range; the message names the nearest depth.
    """
    blocks, rest = divmod(depth - others, 6)
    if rest or not 1 <= blocks <= MAX_BLOCKS:
        nearest = 6 * min(max(blocks + (rest > 3), 1), MAX_BLOCKS) + others
        raise RecipeError(
            f"depth of a {network} must be 6n + {others}, n from 1 to {MAX_BLOCKS}: got {depth}. "
            f"The nearest is {nearest}."
        )
    return blocks


def check_blocks(blocks: int) -> None:
    """Check the number of blocks per stage.

    Raises:
        RecipeError: naming the number.
    """
    if not 1 <= blocks <= MAX_BLOCKS:
        raise RecipeError(f"blocks per stage must be from 1 to {MAX_BLOCKS}: got {blocks}. ResNet-18 has 2.")
