"""Run one trial by hand: ``python -m trainers RECIPE --gm 8 --gc 4 --seed 0``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trainers.assignments import read_assignments
from trainers.recipe import RecipeError, find, resolve
from trainers.trial import Diverged, InvalidPoint, Params, ProgramFailed


def main() -> int:
    """Train one point; print one line per epoch to stderr and the result to stdout."""
    parser = argparse.ArgumentParser(prog="python -m trainers", description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--gm", type=int, default=1, help="groups along the mini-batch; 0 for GroupNorm alone")
    parser.add_argument("--gc", type=int, default=0, help="groups along the channels; 0 for GhostNorm")
    parser.add_argument("--none", action="store_true", help="train without normalization")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", choices=("validation", "test"), default="validation")
    parser.add_argument("--data", help="what to train on, if the recipe offers a choice")
    parser.add_argument("--model", help="network of the recipe images: torchvision:NAME or timm:NAME")
    parser.add_argument("--download", action="store_true", help="fetch the recipe's data set first")
    parser.add_argument("--folder", type=Path, help="folder of the checkpoint; training resumes from an existing one")
    parser.add_argument("--home", type=Path, default=Path(), help="folder with data/ and recipes/ (default: this one)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a number")
    parser.add_argument("--threads", type=int, default=1, help="threads for torch; more may change the last bits")
    flags = parser.parse_args()
    try:
        recipe = find(flags.recipe, flags.home)
        if flags.none and not recipe.trains_unnormalized:
            raise RecipeError(f"{recipe.name} is a command, which has its own layers: got --none. Leave it out.")
        if flags.data and recipe.check_data is None:
            raise RecipeError(f"{recipe.name} takes no data set: got {flags.data}. Leave out --data.")
        overrides = read_assignments([*flags.set, *([f"model={flags.model}"] if flags.model else [])])
        numbers = recipe.with_overrides({**(recipe.unnormalized if flags.none else {}), **overrides})
        if flags.download and recipe.download:
            resolve(recipe.download)(flags.home)
        if flags.data and recipe.check_data and (found := resolve(recipe.check_data)(numbers, flags.data)):
            print(f"Data: {found}", file=sys.stderr)
        data = resolve(recipe.load)(numbers, flags.data, flags.home)
    except RecipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if recipe.command is None:
        import torch

        torch.set_num_threads(flags.threads)
    params = Params(
        gm=0 if flags.none else flags.gm,
        gc=0 if flags.none else flags.gc,
        seed=flags.seed,
        numbers=numbers,
        data=data,
        normalize=not flags.none,
        measure=flags.measure,
        recipe=flags.recipe,
        folder=flags.folder,
        command=recipe.command,
    )
    try:
        result = resolve(recipe.run)(params, _print_epoch)
    except (ValueError, Diverged, InvalidPoint, ProgramFailed) as error:  # group counts, a loss that is not finite, …
        print(f"error: {error}", file=sys.stderr)
        return 1
    if fault := result.fault():
        print(f"diverged: {fault}", file=sys.stderr)
    print(result.value)
    return 0


def _print_epoch(*, epoch: int, **metrics: float) -> None:
    print(f"epoch {epoch}", *(f"{name} {value:.4f}" for name, value in metrics.items()), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
