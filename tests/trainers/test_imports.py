"""What the light side of the recipes brings into a fresh interpreter."""

import subprocess
import sys

OURS = [
    "cifar10-resnet56",
    "cifar10-wrn28x10",
    "cifar100-wrn28x10",
    "digits-mlp",
    "imagenet-resnet18",
    "images",
    "mnist-simplenet",
]


def imported(program):
    """Return the packages beyond the standard library that a program imports."""
    program = f"""
import sys
before = set(sys.modules)
{program}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(finished.stdout.split()) - sys.stdlib_module_names


def test_recipes_are_found_and_checked_with_the_standard_library_only():
    program = f"""
import trainers.groups, trainers.trial
from trainers.recipe import find
for name in {OURS}:
    recipe = find(name)
    recipe.widths(recipe.with_overrides({{"epochs": "1", **recipe.unnormalized}}))
    [recipe.with_overrides(preset) for preset in recipe.presets.values()]
"""
    assert imported(program) == {"trainers"}


def test_training_in_memory_needs_torch_and_numpy_only():
    beyond = imported("import trainers.weights, trainers.recipes.cifar10_resnet56, trainers.recipes.digits_mlp")
    assert {"torch", "trainers", "seqnorm"} <= beyond
    assert not beyond & {"torchvision", "PIL", "sklearn", "mlxtend", "timm", "nvidia", "ray", "optuna", "search"}
