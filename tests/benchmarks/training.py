"""The training loop against the bare minimum: forward, backward and update over tensors."""

from __future__ import annotations

import copy
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F

from tests.benchmarks.layers import lower_quartiles
from trainers.data.split import Images
from trainers.devices import TrainingProcess
from trainers.landscape import Landscape
from trainers.loop import make_network, make_source
from trainers.recipe import find, resolve
from trainers.recipes.mnist_simplenet import TASK
from trainers.step import Step, make_optimizer, make_scaler
from trainers.trial import Params

RECIPE = find("mnist-simplenet")
CPU = TrainingProcess(torch.device("cpu"))


def images_of(copies: int) -> Images:
    """Return the bundled images, the training split repeated."""
    numbers = RECIPE.with_overrides({})
    images = resolve(RECIPE.load)(numbers, None, Path())
    repeated = {"train_x": np.tile(images.train_x, (copies, 1, 1)), "train_y": np.tile(images.train_y, copies)}
    return Images(**{**vars(images), **repeated})


def params_of(images: Images, epochs: int = 30, **changes: object) -> Params:
    numbers = RECIPE.with_overrides({"epochs": epochs})
    return Params(
        **{"gm": 64, "gc": 0, "seed": 0, "numbers": numbers, "data": images, "recipe": RECIPE.name, **changes}
    )


def share_of_work(images: Images, epochs: int, repetitions: int) -> tuple[float, float]:
    """Return a trial's share of forward, backward and update, and its time over that of a bare loop.

    The bare loop begins with the same arrays and network; it standardises once, shuffles, and evaluates every epoch.
    """
    params = params_of(images, epochs)
    source = make_source(TASK, params, CPU)
    whole = [batch for _ in range(epochs) for batch in source.training(1)]
    network = make_network(TASK.build, params, source.shape, source.classes)
    validation = list(source.evaluation("validation"))

    def trial() -> None:
        TASK.run(params, lambda **_: None)

    def work() -> None:
        model = copy.deepcopy(network)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
        for inputs, labels in whole:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    def bare() -> None:
        x = torch.tensor(images.train_x, dtype=torch.float32)
        x, y = (x - x.mean()) / x.std(), torch.tensor(images.train_y)
        model = copy.deepcopy(network)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
        for _ in range(epochs):
            model.train()
            for rows in torch.randperm(len(y))[: source.steps * 512].split(512):
                optimizer.zero_grad()
                F.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                [(model(inputs).argmax(1) == labels).sum().item() for inputs, labels in validation]

    of_trial, of_work, of_bare = lower_quartiles(trial, work, bare, repetitions=repetitions)
    return of_work / of_trial, of_trial / of_bare


def cost_of_probes(images: Images, gradients: bool) -> float:
    """Return what the walk of a landscape takes, over the passes that it needs."""
    params = params_of(images)
    source = make_source(TASK, params, CPU)
    network = make_network(TASK.build, params, source.shape, source.classes)
    optimizer = make_optimizer(network, params.numbers, CPU)
    step = Step(network, network, optimizer, make_scaler(params.numbers, CPU), params.numbers, CPU)
    walking = Landscape(RECIPE.landscape, gradients).wrap(step)
    inputs, labels = next(source.training(1))
    walk, alone, passes = [], [], []
    for _ in range(60):
        start = perf_counter()
        step(inputs, labels, 0.0)
        alone.append(perf_counter() - start)
        start = perf_counter()
        walking(inputs, labels, 0.0)
        walk.append(perf_counter() - start)
        start = perf_counter()
        for _ in RECIPE.landscape:
            with torch.set_grad_enabled(gradients):
                loss = F.cross_entropy(network(inputs), labels)
                if gradients:
                    torch.autograd.grad(loss, list(network.parameters()))
        passes.append(perf_counter() - start)
    quartile = len(walk) // 4
    extra = sorted(walk)[quartile] - sorted(alone)[quartile]
    return extra / sorted(passes)[quartile]


def main() -> None:
    """Print the table."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print("mnist-simplenet, batch 512, GhostNorm with gm 64, one thread.\n")
    print("| what | ratio | bound |\n|---|---|---|")
    for copies, epochs, repetitions in ((1, 30, 12), (15, 8, 5)):
        name = f"{3600 * copies:,} images, {epochs} epochs"
        share, over_bare = share_of_work(images_of(copies), epochs, repetitions)
        print(f"| forward, backward and update, of a whole trial on {name} | {share:.3f} | ≥ 0.85 |", flush=True)
        print(f"| a trial over a bare loop over tensors, {name} | {over_bare:.3f} | ≤ 1.05 |", flush=True)
    images = images_of(1)
    print(f"| a landscape's walk of 8 losses over 8 forwards | {cost_of_probes(images, False):.3f} | ≤ 1.15 |")
    print(f"| the same with gradients, over 8 forwards and backwards | {cost_of_probes(images, True):.3f} | ≤ 1.15 |")
    torch.set_num_threads(threads)
