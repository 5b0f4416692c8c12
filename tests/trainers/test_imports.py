"""What the light side of the recipes brings into a fresh interpreter."""

import subprocess
import sys

LIGHT = "trainers.recipe, trainers.trial, trainers.groups, trainers.descriptors.digits_mlp"


def test_recipes_are_found_and_checked_with_the_standard_library_only():
    program = f"""
import sys
before = set(sys.modules)
import {LIGHT}
for name in ("digits-mlp", "mnist-simplenet"):
    recipe = trainers.recipe.find(name)
    recipe.widths(recipe.with_overrides({{"epochs": "1"}}))
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(finished.stdout.split()) - sys.stdlib_module_names == {"trainers"}
