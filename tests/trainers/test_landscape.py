"""The walk along every update: training does not notice it, and its figures are those of a literal re-computation."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from trainers import landscape as module
from trainers.data.mnist import read_bundled
from trainers.devices import TrainingProcess
from trainers.landscape import Landscape, measure
from trainers.loop import make_network
from trainers.recipe import find, resolve
from trainers.step import Step, make_optimizer, make_scaler
from trainers.trial import Params

HERE = TrainingProcess(torch.device("cpu"))
SIZES = (0.5, 1.0, 1.5, 3.0)
RANDOM = {"dropout": 0.2, "noise": 0.1}
WHOLE = {"momentum": 0.9, "weight_decay": 0.01, "clip": 0.5, "label_smoothing": 0.1}
SMALL = {"batch": 64, "width": 32, "device": "cpu"}
TRAININGS = {  # recipe, gm, overrides
    "plain": ("digits-mlp", 4, {**SMALL}),
    "random": ("digits-mlp", 4, {**SMALL, **RANDOM}),
    "without norms": ("digits-mlp", 0, {**SMALL, "dropout": 0.2}),
    "momentum and clipping": ("digits-mlp", 4, {**SMALL, **RANDOM, **WHOLE}),
    "nesterov": ("digits-mlp", 4, {**SMALL, **WHOLE, "nesterov": True}),
    "several passes": ("digits-mlp", 4, {**SMALL, **RANDOM, **WHOLE, "accumulate": 2}),
    "convolutions": (
        "cifar10-resnet56",
        4,
        {**RANDOM, "depth": 8, "width": 4, "batch": 64, "device": "cpu", "up_epochs": 40},  # it may guess so long
    ),
}


@pytest.fixture(scope="module")
def digits_file(tmp_path_factory):
    """Return a file with 200 images of MNIST in three unlike channels."""
    return write_digits(tmp_path_factory.mktemp("data") / "digits.npz", lambda x: np.stack([x, 255 - x, x // 2], 3))


def write_digits(file, coloured):
    """Write 200 images of MNIST to a file."""
    x, y = read_bundled()
    np.savez(file, x=coloured(x[::25]), y=y[::25])
    return str(file)


def params_of(training, data=None):
    """Return the parameters of a training by its name."""
    name, gm, overrides = TRAININGS[training]
    numbers = find(name).with_overrides({**overrides, "epochs": 2})
    loaded = resolve(find(name).load)(numbers, data if "cifar" in name else None, None)
    return Params(gm=gm, gc=0, seed=3, numbers=numbers, data=loaded, normalize=gm > 0, recipe=name)


def step_of(params):
    """Return a step of training on a fresh network."""
    torch.manual_seed(params.seed)
    build = resolve(find(params.recipe).build)
    network = make_network(build, params, params.data.shape, params.data.classes).train()
    optimizer, scaler = make_optimizer(network, params.numbers, HERE), make_scaler(params.numbers, HERE)
    return Step(network, network, optimizer, scaler, params.numbers, HERE)


def batches(params, count):
    """Return batches of the training split."""
    size = params.numbers.batch
    x = torch.tensor(params.data.train_x, dtype=torch.float32) / params.data.train_x.max() - 0.3
    x = x.permute(0, 3, 1, 2) if x.dim() == 4 else x.unsqueeze(1)
    y = torch.tensor(params.data.train_y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    rows = [order[at * size % (len(x) - size + 1) :][:size] for at in range(count)]
    return [(x[own], y[own]) for own in rows]


def literal_loss(network, params, inputs, labels):
    """Return the loss that training computes, in as many passes."""
    passes, smoothing = params.numbers.accumulate, params.numbers.label_smoothing
    chunks = zip(inputs.chunk(passes), labels.chunk(passes), strict=True)
    return sum(cross_entropy(network(x), y, label_smoothing=smoothing) for x, y in chunks) / passes


def literal_point(original, before, after, size, params, batch, random):
    """Return loss and gradient of a copy of the network at ``before - size · (before - after)``."""
    network = copy.deepcopy(original)
    with torch.no_grad():
        for parameter, start, end in zip(network.parameters(), before, after, strict=True):
            parameter.copy_(start - size * (start - end))
    torch.set_rng_state(random)
    network.train().zero_grad()
    loss = literal_loss(network, params, *batch)
    loss.backward()
    return loss.item(), flat([parameter.grad for parameter in network.parameters()])


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).double()


def weights_of(network):
    return [parameter.detach().clone() for parameter in network.parameters()]


# Training does not notice


def trained(params, folder, observer):
    """Train to the end; return all that it leaves: figures, result, checkpoint, generator."""
    reports = []
    torch.manual_seed(99)
    params = Params(**{**vars(params), "folder": folder, "observer": observer})
    result = resolve(find(params.recipe).run)(params, lambda **figures: reports.append(figures))
    reports = [{name: value for name, value in figures.items() if name != "seconds"} for figures in reports]
    return reports, result, torch.load(folder / "checkpoint.pt", weights_only=True), torch.get_rng_state()


@pytest.mark.parametrize("gradients", [True, False], ids=["with gradients", "losses only"])
@pytest.mark.parametrize("training", TRAININGS)
def test_probing_leaves_training_as_it_was_to_the_bit(training, gradients, digits_file, tmp_path):
    params = params_of(training, digits_file)
    landscape = Landscape(SIZES, gradients)
    plain, probed = trained(params, tmp_path / "plain", None), trained(params, tmp_path / "probed", landscape)
    assert len(landscape.lowest) == 2 * (len(params.data.train_y) // params.numbers.batch)
    assert probed[0] == plain[0]  # the figures of every epoch
    assert probed[1] == plain[1]
    assert torch.equal(probed[3], plain[3])
    for part in ("network", "optimizer", "source", "scaler"):  # weights, running statistics, momentum, generators
        torch.testing.assert_close(probed[2][part], plain[2][part], rtol=0, atol=0)


def test_a_step_that_measures_leaves_buffers_gradients_and_generator_as_one_that_does_not():
    params = params_of("momentum and clipping")
    left = []
    for wrap in (lambda step: step, Landscape(SIZES).wrap):
        step = step_of(params)
        take, losses = wrap(step), []
        for batch in batches(params, 3):
            losses.append(take(*batch, 0.2))
        gradients = [parameter.grad for parameter in step.network.parameters()]
        left.append((losses, step.network.state_dict(), gradients, torch.get_rng_state()))
        assert step.network.training
        assert all(parameter.requires_grad and parameter.is_leaf for parameter in step.network.parameters())
    torch.testing.assert_close(*left, rtol=0, atol=0)
    assert left[0][1]["2.num_batches_tracked"] == 3


# What is measured


@pytest.mark.parametrize("training", TRAININGS)
def test_the_point_at_size_1_is_the_next_iterate(training, digits_file, monkeypatch):
    check_point_at_size_1(params_of(training, digits_file), monkeypatch)


def test_the_point_at_size_1_is_the_next_iterate_on_grey_images_too(tmp_path, monkeypatch):
    file = write_digits(tmp_path / "grey.npz", lambda x: x)  # one channel, whose place in memory is ambiguous
    check_point_at_size_1(params_of("convolutions", file), monkeypatch)


def check_point_at_size_1(params, monkeypatch):
    """Compare the only point of three walks with the network after the update."""
    step, landscape, visited = step_of(params), Landscape((1.0,)), visits(monkeypatch)
    take = landscape.wrap(step)
    for batch in batches(params, 3):
        start, random = copy.deepcopy(step.network), torch.get_rng_state()
        visited.clear()
        take(*batch, 0.2)
        for name, parameter in step.network.named_parameters():
            assert torch.equal(visited[0][name], parameter), name
        start.load_state_dict(dict(step.network.named_parameters()), strict=False)
        after = torch.get_rng_state()
        torch.set_rng_state(random)  # same dropout, same noise, on the statistics of the batch
        expected = literal_loss(start.train(), params, *batch).item()
        torch.set_rng_state(after)
        assert landscape.lowest[-1].item() == landscape.highest[-1].item() == pytest.approx(expected, rel=1e-5)


def visits(monkeypatch):
    """Return a list that gets the weights of every point of a walk."""
    visited, call = [], module.functional_call

    def recorded(network, tensors, inputs):
        visited.append({name: tensor.detach().clone() for name, tensor in tensors.items()})
        return call(network, tensors, inputs)

    monkeypatch.setattr(module, "functional_call", recorded)
    return visited


@pytest.mark.parametrize("training", TRAININGS)
def test_the_figures_are_those_of_copies_put_at_each_point(training, digits_file):
    params = params_of(training, digits_file)
    step, landscape = step_of(params), Landscape(SIZES)
    take = landscape.wrap(step)
    for update, batch in enumerate(batches(params, 3)):
        original, before, random = copy.deepcopy(step.network), weights_of(step.network), torch.get_rng_state()
        loss = take(*batch, 0.3)
        after, generator = weights_of(step.network), torch.get_rng_state()
        here, gradient = literal_point(original, before, after, 0.0, params, batch, random)
        points = [literal_point(original, before, after, size, params, batch, random) for size in SIZES]
        torch.set_rng_state(generator)
        changes = [(gradient - there).norm().item() for _, there in points]
        length = (flat(before) - flat(after)).norm().item()
        expected = {
            "lowest": min(at for at, _ in points),
            "highest": max(at for at, _ in points),
            "predictiveness": max(changes),
            "smoothness": max(change / (size * length) for change, size in zip(changes, SIZES, strict=True)),
        }
        figures = landscape.figures()
        assert loss.item() == pytest.approx(here, rel=1e-5)
        assert {name: figures[name][update] for name in expected} == pytest.approx(expected, rel=1e-3)


def test_the_sizes_of_the_walk_are_all_visited_and_nothing_else(monkeypatch):
    params = params_of("plain")
    step, visited = step_of(params), visits(monkeypatch)
    before = weights_of(step.network)
    Landscape(SIZES).wrap(step)(*batches(params, 1)[0], 0.2)
    way = flat(before) - flat(step.network.parameters())
    names = [name for name, _ in step.network.named_parameters()]
    sizes = [((flat(before) - flat(point[name] for name in names)) @ way / (way @ way)).item() for point in visited]
    assert sizes == pytest.approx(SIZES, rel=1e-4)


@pytest.mark.parametrize("nesterov", [False, True])
def test_with_momentum_decay_and_clipping_the_walk_goes_where_the_optimizer_goes(nesterov, monkeypatch):
    params = params_of("nesterov" if nesterov else "momentum and clipping")
    rate, momentum, decay, clip = 0.2, 0.9, 0.01, 0.5
    step, visited = step_of(params), visits(monkeypatch)
    take = Landscape((2.0,)).wrap(step)
    velocity = 0.0
    for batch in batches(params, 3):
        original, before, random = copy.deepcopy(step.network), weights_of(step.network), torch.get_rng_state()
        visited.clear()
        take(*batch, rate)
        after = torch.get_rng_state()
        _, gradient = literal_point(original, before, before, 0.0, params, batch, random)
        torch.set_rng_state(after)
        assert gradient.norm() > clip  # so that clipping matters
        gradient = gradient * clip / gradient.norm() + decay * flat(before)
        velocity = momentum * velocity + gradient
        direction = gradient + momentum * velocity if nesterov else velocity
        point = flat(visited[0][name] for name, _ in step.network.named_parameters())
        torch.testing.assert_close(flat(before) - point, 2 * rate * direction, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("gradients", [True, False])
def test_losses_alone_take_no_backward_pass(gradients, monkeypatch):
    params = params_of("plain")
    passes = []
    backward, grad = torch.Tensor.backward, torch.autograd.grad
    monkeypatch.setattr(torch.Tensor, "backward", lambda *given, **more: (passes.append(1), backward(*given, **more)))
    monkeypatch.setattr(torch.autograd, "grad", lambda *given: (passes.append(1), grad(*given))[1])
    landscape = Landscape(SIZES, gradients)
    landscape.wrap(step_of(params))(*batches(params, 1)[0], 0.2)
    assert len(passes) == (1 + len(SIZES) if gradients else 1)
    assert not landscape.lowest[0].requires_grad
    measured = {"lowest", "highest", "test_errors", *(("predictiveness", "smoothness") if gradients else ())}
    assert set(landscape.figures()) == measured


def test_losses_are_the_same_with_gradients_and_without():
    params = params_of("random")
    figures = []
    for gradients in (True, False):
        landscape = Landscape(SIZES, gradients)
        take = landscape.wrap(step_of(params))
        for batch in batches(params, 3):
            take(*batch, 0.2)
        figures.append(landscape.figures())
    assert figures[0]["lowest"] == figures[1]["lowest"]
    assert figures[0]["highest"] == figures[1]["highest"]


# A whole training


def measured(tmp_path, overrides, gm=4, gradients=True):
    heard = []
    figures = measure(
        "digits-mlp",
        {**SMALL, **overrides},
        None,
        tmp_path,
        gm,
        0,
        gradients,
        lambda *, epoch, **more: heard.append((epoch, more["validation_accuracy"])),
    )
    return figures, heard


def test_every_update_has_a_band_and_every_epoch_a_test_error(tmp_path):
    figures, heard = measured(tmp_path, {"epochs": 3})
    assert set(figures) == {"lowest", "highest", "predictiveness", "smoothness", "test_errors", "diverged"}
    updates = 3 * (1295 // 64)
    assert {len(figures[name]) for name in ("lowest", "highest", "predictiveness", "smoothness")} == {updates}
    assert all(low < high for low, high in zip(figures["lowest"], figures["highest"], strict=True))
    assert min(figures["predictiveness"] + figures["smoothness"]) > 0
    assert [epoch for epoch, _ in heard] == [1, 2, 3]
    assert len(figures["test_errors"]) == 3
    assert all(error * 250 == pytest.approx(round(error * 250)) for error in figures["test_errors"])  # of 250 images
    assert figures["diverged"] is None
    numbers = find("digits-mlp").with_overrides({**SMALL, "epochs": 3})
    data = resolve(find("digits-mlp").load)(numbers, None, tmp_path)
    params = Params(gm=4, gc=0, seed=0, numbers=numbers, data=data, measure="test", recipe="digits-mlp")
    of_trial = resolve(find("digits-mlp").run)(params, lambda **figures: None)
    assert figures["test_errors"][-1] == 1 - of_trial.value


def test_the_same_seed_measures_the_same_and_gm_0_is_no_normalization(tmp_path):
    first, again = measured(tmp_path, {"epochs": 1}), measured(tmp_path, {"epochs": 1})
    without, _ = measured(tmp_path, {"epochs": 1}, gm=0)
    assert first == again
    measured_of_each = ("lowest", "highest", "predictiveness", "smoothness")  # test errors are few whole images
    assert all(without[name] != first[0][name] for name in measured_of_each)


def test_the_network_trains_in_fp32_without_compiler_or_other_devices(tmp_path):
    plain, _ = measured(tmp_path, {"epochs": 1})
    fast, _ = measured(tmp_path, {"epochs": 1, "precision": "bf16", "compile": True, "real_devices": 2})
    assert fast == plain


def test_a_run_that_overflows_returns_what_was_measured_and_says_so(tmp_path):
    figures, heard = measured(tmp_path, {"epochs": 3, "learning_rate": 1e6}, gm=0)
    assert figures["diverged"].startswith("the training loss is ")
    assert figures["diverged"].endswith(" in epoch 1")
    assert len(figures["lowest"]) == len(figures["highest"]) == len(figures["smoothness"]) == 1295 // 64
    assert math.isfinite(figures["lowest"][0])
    assert (figures["test_errors"], heard) == ([], [])


def test_a_run_that_only_guesses_returns_its_epochs_and_says_so(tmp_path):
    figures, heard = measured(tmp_path, {"epochs": 4, "learning_rate": 0.0}, gm=0, gradients=False)
    assert figures["diverged"].startswith("the network guesses in epoch 2: ")
    assert len(figures["lowest"]) == 2 * (1295 // 64)
    assert figures["lowest"] == figures["highest"]  # nothing moved
    assert (len(figures["test_errors"]), len(heard)) == (1, 1)
