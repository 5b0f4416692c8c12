"""Training batches that gm does not divide: groups of unequal size, one group, or refused."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, NoisySeqNorm, SeqNorm, convert, ghost_norm, seq_norm
from seqnorm.running import CONVENTIONS
from seqnorm.uneven import groups_of_batch
from tests.seqnorm import reference
from tests.seqnorm.shapes import draw, gradients, refused

EXACT = {"rtol": 1e-12, "atol": 1e-12}
OPTIONS = [{}, {"strided": True}, {"shared_var": True}]


@pytest.mark.parametrize(("shape", "gm"), [((7, 4), 3), ((7, 4, 1, 1), 2), ((7, 4, 3), 3)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_unequal_groups_are_those_of_the_reference_in_values_and_gradients(shape, gm, options):
    x, weight, upstream = draw(*shape).requires_grad_(), draw(4, seed=1).requires_grad_(), draw(*shape, seed=2)
    ours = {"weight": weight, "uneven": "unequal", **options}
    for fast, literal in [
        (ghost_norm(x, gm, **ours), reference.ghost_norm(x, gm, weight, **options)),
        (seq_norm(x, 2, gm, **ours), reference.seq_norm(x, 2, gm, weight, **options)),
        (
            seq_norm(x, 2, gm, ghost_first=True, **ours),
            reference.seq_norm(x, 2, gm, weight, ghost_first=True, **options),
        ),
    ]:
        assert_close(fast, literal)
        assert_close(gradients(fast, (x, weight), upstream), gradients(literal, (x, weight), upstream))


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_unequal_groups_are_those_of_a_count_given_as_a_tensor(space, options):
    x = draw(11, 4, *space)
    assert ghost_norm(x, 4, uneven="unequal", **options).equal(ghost_norm(x, torch.tensor(4), **options))
    of_int, of_tensor = (GhostNorm(4, gm=4, uneven="unequal", **options).double() for _ in range(2))
    of_int(x), of_tensor(x, gm=torch.tensor(4))
    assert_close(of_int.state_dict(), of_tensor.state_dict(), **EXACT)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("momentum", [0.2, None])
@pytest.mark.parametrize("space", [(), (2, 3)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_running_statistics_of_unequal_groups_equal_the_reference(convention, momentum, space, options):
    layer = GhostNorm(2, gm=3, momentum=momentum, running=convention, uneven="unequal", **options).double()
    literal = reference.RunningStatistics(2, momentum, convention)
    for samples in (6, 8, 7):
        batch = draw(samples, 2, *space, seed=samples)
        layer(batch)
        literal.step(batch, 3, **options)
        assert_close(layer.running_mean.tolist(), literal.mean, **EXACT)
        assert_close(layer.running_var.tolist(), literal.var, **EXACT)
    assert layer.num_batches_tracked == literal.updates


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_single_is_one_group_and_only_where_gm_does_not_divide(space):
    layer, literal = SeqNorm(4, gc=2, gm=4, uneven="single").double(), reference.RunningStatistics(4)
    for samples, groups in [(8, 4), (7, 1), (3, 1)]:
        x = draw(samples, 4, *space, seed=samples)
        assert_close(layer(x), reference.seq_norm(x, 2, groups))
        literal.step(reference.group_norm(x, 2), groups)
        assert_close(layer.running_var.tolist(), literal.var, **EXACT)


@pytest.mark.parametrize("uneven", ["unequal", "single"])
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_a_batch_that_gm_divides_is_normalized_as_by_default(uneven, space):
    x = draw(8, 4, *space)
    assert SeqNorm(4, gc=2, gm=4, uneven=uneven).double()(x).equal(SeqNorm(4, gc=2, gm=4).double()(x))


@pytest.mark.parametrize(
    ("samples", "positions", "gm", "groups"),
    [(7, 1, 4, 3), (5, 1, 8, 2), (3, 1, 2, 1), (2, 1, 8, 1), (7, 4, 4, 4), (3, 4, 8, 3), (1, 4, 8, 1), (8, 1, 4, 4)],
)
def test_unequal_groups_are_as_many_as_there_can_be_without_one_of_a_single_value(samples, positions, gm, groups):
    assert groups_of_batch(samples, positions, gm, "unequal") == groups
    assert groups_of_batch(samples, positions, groups, "unequal") == groups
    x = draw(samples, 4, positions)
    assert_close(ghost_norm(x, gm, uneven="unequal"), reference.ghost_norm(x, groups))


@pytest.mark.parametrize("uneven", ["unequal", "single"])
@pytest.mark.parametrize("running", CONVENTIONS)
def test_the_last_batches_of_an_epoch_train_whatever_their_size(uneven, running):
    layer = NoisySeqNorm(4, sigma=0.1, gc=2, gm=8, uneven=uneven, running=running, momentum=None)
    for samples in range(2, 20):
        assert layer(draw(samples, 4).float()).isfinite().all()
    assert all(buffer.isfinite().all() for buffer in layer.buffers())


@pytest.mark.parametrize("uneven", ["unequal", "single"])
def test_one_value_is_refused_as_by_torch(uneven):
    assert refused(lambda: GhostNorm(3, gm=4, uneven=uneven)(torch.zeros(1, 3))) == (
        "a group needs at least 2 values per channel: got 1 sample × 1 position with gm=1 for 1 samples. "
        "Pass a larger batch."
    )


@pytest.mark.parametrize("uneven", ["unequal", "single"])
@pytest.mark.parametrize("gm", [0, -2])
def test_less_than_one_group_is_refused_whatever_is_allowed(uneven, gm):
    assert refused(lambda: ghost_norm(torch.zeros(8, 2), gm, uneven=uneven)).startswith("gm must be at least 1: got")


@pytest.mark.parametrize(
    "make",
    [
        lambda: ghost_norm(torch.zeros(4, 2), 2, uneven="drop"),
        lambda: seq_norm(torch.zeros(4, 2), 1, 2, uneven="drop"),
        lambda: SeqNorm(4, gc=2, gm=2, uneven="drop"),
    ],
)
def test_another_word_is_refused(make):
    assert refused(make) == "uneven must be one of error, unequal, single: got 'drop'. Use error, the default."


def test_a_layer_shows_what_it_does_with_such_batches_unless_it_refuses_them():
    assert repr(GhostNorm(4, gm=2, uneven="single")) == "GhostNorm(4, gm=2, uneven='single')"
    assert repr(SeqNorm(4, gc=2, gm=2, uneven="unequal")) == "SeqNorm(4, gc=2, gm=2, uneven='unequal')"
    assert repr(BatchNorm(4)) == "BatchNorm(4, gm=1)"


def test_a_converted_model_takes_the_option_and_otherwise_the_report_says_what_the_loader_needs():
    model, options = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), {"gc": 2, "gm": 4}
    report = convert(model, partial(SeqNorm, **options, uneven="unequal"))
    assert str(report) == "1 of 1 BatchNorm layers swapped"
    assert model(torch.randn(7, 4)).isfinite().all()
    strict = convert(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), partial(SeqNorm, **options))
    assert str(strict) == (
        "1 of 1 BatchNorm layers swapped\n"
        "in training a batch must be a multiple of gm=4: let the loader drop the last, smaller one (drop_last=True), "
        "or give the norm uneven='unequal' or 'single'"
    )


def test_a_layer_pickled_whole_before_the_option_refuses_as_it_did():
    layer = GhostNorm(2, gm=4)
    del layer.__dict__["uneven"]
    assert "must divide the batch" in refused(lambda: layer(torch.zeros(7, 2)))
