"""Several devices train as one does: here two processes on the CPU."""

import os
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch import distributed

from tests.processes import command_of
from trainers.checkpoint import Checkpoint
from trainers.data import digits
from trainers.devices import check, device_kind, train_on_devices
from trainers.recipe import RecipeError, find, resolve
from trainers.trial import Diverged, Params, Result
from trainers.weights import load_model

AUGMENTED = {
    "depth": 8,
    "width": 4,
    "epochs": 2,
    "subset": 512,
    "learning_rate": 0.02,
    "momentum": 0.9,
    "clip": 1.0,
    "pad": 1,
    "cutout": 3,
    "randaugment_n": 1,
    "randaugment_m": 8,
}
SMALL = {"digits-mlp": {"epochs": 3, "width": 32, "momentum": 0.5}, "cifar10-resnet56": AUGMENTED}


def params(recipe="digits-mlp", real_devices=2, folder=None, **changes):
    own = {key: changes.pop(key) for key in tuple(changes) if key not in Params.__dataclass_fields__}
    overrides = {"batch": 128, "device": "cpu", "real_devices": real_devices, **SMALL[recipe], **own}
    numbers = find(recipe).with_overrides(overrides)
    data = digits.load(numbers, None, Path())
    point = {"gm": 4, "gc": 2, "seed": 1, **changes}
    return Params(numbers=numbers, data=data, recipe=recipe, folder=folder, **point)


def trained(of, stop_after=None):
    """Train; return the result and the figures of each epoch, but for the time it took."""
    reports = []

    def report(*, epoch, seconds, **figures):
        reports.append({"epoch": epoch, **figures})
        if epoch == stop_after:
            raise InterruptedError

    try:
        return resolve(find(of.recipe).run)(of, report), reports
    except InterruptedError:
        return None, reports


def network(folder):
    """Return weights and running statistics."""
    state = Checkpoint(folder).load()["network"]
    return {name: of for name, of in state.items() if of.is_floating_point()}


def others():
    """Return the processes that this one has spawned as trials do; those of Ray and the databases come and go."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "multiprocessing.spawn" in command_of(child)]


@pytest.fixture
def nothing_left():
    """Check that a test leaves no process and no process group behind."""
    before = others()  # of tests elsewhere
    yield before
    assert others() == before
    assert not distributed.is_initialized()


@torch.no_grad()
def undecided(folder, pixels, closer_than):
    """Return the share of images for which a network gives two classes logits that lie closer than this."""
    best, second = load_model(folder)(torch.tensor(pixels).unsqueeze(1)).topk(2).values.unbind(1)
    return (best - second < closer_than).double().mean().item()


@pytest.mark.parametrize(
    ("recipe", "numbers"),
    [
        ("digits-mlp", {"gc": 0}),
        ("cifar10-resnet56", {}),
        ("cifar10-resnet56", {"accumulate": 2}),
    ],
    ids=["digits", "augmented", "accumulated"],
)
@pytest.mark.usefixtures("nothing_left")
def test_two_devices_train_as_one_with_the_same_groups(recipe, numbers, tmp_path):
    numbers = {"measure": "test", **numbers}
    of_one = params(recipe, 1, tmp_path / "one", **numbers)
    result, one = trained(of_one)
    both, two = trained(params(recipe, 2, tmp_path / "two", **numbers))
    passes = numbers.get("accumulate", 1)
    # passes move the averages one after another, and see other samples on two devices
    loose = 1e-5 if passes == 1 else 0.01
    for ours, theirs in zip(one, two, strict=True):
        assert theirs["train_loss"] == pytest.approx(ours["train_loss"], abs=1e-5)
        assert theirs["validation_loss"] == pytest.approx(ours["validation_loss"], abs=loose)
    weights = network(tmp_path / "one")
    for name, other in network(tmp_path / "two").items():
        if passes == 1 or "running" not in name:
            torch.testing.assert_close(other, weights[name], rtol=1e-4, atol=1e-5, msg=name)
    # accuracy jumps where two logits cross, and the losses' tolerance says how far logits may have moved
    images = of_one.data
    for pixels, ours, theirs in (
        (images.validation_x, one[-1]["validation_accuracy"], two[-1]["validation_accuracy"]),
        (images.test_x, result.value, both.value),
    ):
        assert theirs == pytest.approx(ours, rel=0, abs=undecided(tmp_path / "one", pixels, 100 * loose))
    assert (both.samples, both.classes) == (250, 10)


RANDOM = {"dropout": 0.1, "noise": 0.05, "precision": "fp16", "epochs": 3}


class SeedsApart:
    """Ends a trial whose devices would draw the same dropout and noise."""

    def wrap(self, step):
        seeds = [torch.zeros(1, dtype=torch.int64) for _ in range(2)]
        distributed.all_gather(seeds, torch.tensor([torch.initial_seed()]))
        assert seeds[0] != seeds[1]
        return step

    def end_epoch(self, test_error):
        """Need no figures."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A trial of two devices that nobody stops: its folder, its result and its epochs."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, *trained(params("cifar10-resnet56", folder=folder, observer=SeedsApart(), **RANDOM))


def test_two_devices_that_are_stopped_end_with_the_bits_of_two_left_alone(alone, tmp_path, nothing_left):
    folder, result, epochs = alone
    of = params("cifar10-resnet56", folder=tmp_path, **RANDOM)
    stopped, before = trained(of, stop_after=2)
    assert stopped is None
    assert others() == nothing_left
    assert Checkpoint(tmp_path).load()["epoch"] == 2
    resumed, after = trained(of)
    assert (resumed, before + after) == (result, epochs)
    ours, theirs = network(folder), network(tmp_path)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.usefixtures("nothing_left")
def test_two_devices_answer_for_a_trial_that_had_ended_without_training(alone):
    folder, result, _ = alone
    assert trained(params("cifar10-resnet56", folder=folder, **RANDOM)) == (result, [])


def test_devices_that_diverge_leave_no_process_and_the_next_trial_runs(tmp_path, nothing_left):
    reports = []
    of = params(learning_rate=1e8, gm=0, gc=0, normalize=False)
    with pytest.raises(Diverged, match=r"^the training loss is (nan|inf) in epoch 1$"):
        resolve(find(of.recipe).run)(of, lambda **figures: reports.append(figures))
    assert reports == []
    assert others() == nothing_left
    result, epochs = trained(params(epochs=1))
    assert len(epochs) == 1
    assert result.value == epochs[0]["validation_accuracy"]


class SpoilTheSecond:
    """Makes the loss of the second device not finite."""

    def wrap(self, step):
        spoil = torch.nan if distributed.get_rank() == 1 else 1.0
        return lambda *batch: step(*batch) * spoil

    def end_epoch(self, test_error):
        """Need no figures."""


@pytest.mark.usefixtures("nothing_left")
def test_a_loss_that_is_not_finite_on_one_device_counts_for_all():
    with pytest.raises(Diverged, match=r"^the training loss is nan in epoch 1$"):
        trained(params(observer=SpoilTheSecond()))


def lose_the_second(params, report, process):
    if not process.is_main:
        os._exit(7)  # as a process that runs out of memory
    total = torch.ones(1)
    distributed.all_reduce(total)
    return Result(value=total.item())


@pytest.mark.usefixtures("nothing_left")
def test_a_device_whose_process_dies_ends_the_trial_at_once():
    start = time.monotonic()
    with pytest.raises(RuntimeError):
        train_on_devices(lose_the_second, params(), lambda **figures: None)
    assert time.monotonic() - start < 200  # gloo by itself would wait for half an hour


def meet(params, report, process):
    """Sum the ranks, so that each is known to have been there."""
    total = torch.tensor(float(process.rank))
    distributed.all_reduce(total)
    report(epoch=1, ranks=total.item(), devices=process.devices, threads=torch.get_num_threads())
    return Result(value=float(process.rank))


@pytest.mark.usefixtures("nothing_left")
def test_only_the_first_of_several_devices_reports_and_answers():
    heard = []
    result = train_on_devices(meet, params(), lambda **figures: heard.append(figures))
    assert result.value == 0.0
    assert [(of["epoch"], of["ranks"], of["devices"]) for of in heard] == [(1, 1.0, 2)]


def where(params, report, process):
    return Result(value=float(os.getpid()), samples=process.devices, classes=process.rank)


def test_one_device_trains_in_the_trials_own_process():
    result = train_on_devices(where, params(real_devices=1), lambda **figures: None)
    assert result == Result(value=float(os.getpid()), samples=1, classes=0)
    assert not distributed.is_initialized()


def test_more_gpus_than_there_are_are_refused_before_anything_is_trained():
    found = torch.cuda.device_count()
    of = params(real_devices=found + 1, device="cuda", batch=128 * (found + 1))
    with pytest.raises(RecipeError) as caught:
        trained(of)
    assert str(caught.value) == (
        "a trial needs a GPU for each of its devices: "
        f"got device=cuda, real_devices={found + 1} and {found} visible GPUs. "
        f"Give the trial more (--gpus {found + 1}), or set real_devices={max(1, found)} or device=cpu."
    )


@pytest.mark.parametrize(
    ("count", "passes", "batch"),
    [(2, 1, 129), (1, 3, 128), (2, 2, 130), (3, 1, 128)],
)
def test_a_batch_that_devices_and_passes_cannot_share_is_refused(count, passes, batch):
    with pytest.raises(RecipeError) as caught:
        trained(params(real_devices=count, accumulate=passes, batch=batch))
    assert str(caught.value) == (
        f"the batch must divide over real_devices × accumulate: got batch={batch} over {count} × {passes}. "
        "Choose a multiple (--set batch=…)."
    )


@pytest.mark.parametrize(("count", "passes", "batch"), [(1, 1, 127), (2, 3, 126), (4, 1, 128)])
def test_a_batch_that_devices_and_passes_can_share_is_taken(count, passes, batch):
    check("cpu", count, batch, passes)


def test_groups_that_the_devices_cannot_share_are_refused_without_a_process_left(nothing_left):
    with pytest.raises(RecipeError, match=r"^gm × devices must divide over .*: got 3 × 1 over 2 × 1\. "):
        trained(params(gm=3))


def test_auto_takes_gpus_if_there_are_any():
    assert device_kind("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert (device_kind("cpu"), device_kind("cuda")) == ("cpu", "cuda")
