"""Running statistics against the literal reference, and each convention against what it was taken from."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, NoisyBatchNorm, SeqNorm, functional, ghost_norm
from seqnorm.running import CONVENTIONS
from tests.seqnorm import reference
from tests.seqnorm.shapes import draw, laid_out, refused

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def trained(layer, batches, **options):
    """Show a layer some batches."""
    for batch in batches:
        layer(batch, **options)
    return layer


def batches(*shape, count=3):
    return [draw(*shape, seed=seed) for seed in range(count)]


@pytest.fixture(params=[0, 2**60], ids=["loop", "fold"])
def loop_from(request, monkeypatch):
    """Send fully connected layers through a loop over groups, or through one BatchNorm over folded groups."""
    monkeypatch.setattr(functional, "MIN_LOOP_GROUP_SIZE", request.param)


@pytest.mark.usefixtures("loop_from")
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("momentum", [0.2, None])
@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 1, 1), (6, 2, 2, 3)])
@pytest.mark.parametrize("options", [{}, {"strided": True}, {"shared_var": True}], ids=str)
@pytest.mark.parametrize("gm", [1, 3])
def test_running_statistics_equal_the_reference(convention, momentum, shape, options, gm):
    layer = GhostNorm(2, gm=gm, momentum=momentum, running=convention, **options).double()
    literal = reference.RunningStatistics(2, momentum, convention)
    for batch in batches(*shape):
        layer(batch)
        literal.step(batch, gm, **options)
        assert_close(layer.running_mean.tolist(), literal.mean, **EXACT)
        assert_close(layer.running_var.tolist(), literal.var, **EXACT)
    assert layer.num_batches_tracked == literal.updates


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("ghost_first", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 2, 3)])
@pytest.mark.parametrize("options", [{}, {"strided": True}, {"shared_var": True}], ids=str)
def test_those_of_a_seq_norm_are_of_what_its_ghost_norm_half_receives(convention, ghost_first, shape, options):
    layer = SeqNorm(4, gc=2, gm=3, running=convention, ghost_first=ghost_first, **options).double()
    literal = reference.RunningStatistics(4, convention=convention)
    for batch in batches(*shape):
        layer(batch)
        literal.step(batch if ghost_first else reference.group_norm(batch, 2), 3, **options)
    assert_close(layer.running_mean.tolist(), literal.mean, **EXACT)
    assert_close(layer.running_var.tolist(), literal.var, **EXACT)
    assert layer.num_batches_tracked == literal.updates


@pytest.mark.usefixtures("loop_from")
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(("theirs", "shape"), [(nn.BatchNorm1d, (12, 3)), (nn.BatchNorm2d, (12, 3, 2, 2))])
def test_sequential_is_one_batch_norm_over_the_groups_in_turn(theirs, shape, momentum):
    theirs = theirs(3, momentum=momentum).double()
    ours = GhostNorm(3, gm=4, momentum=momentum, running="sequential").double()
    for batch in batches(*shape):
        ours(batch)
        trained(theirs, batch.chunk(4))
        assert_close(ours.state_dict(), theirs.state_dict(), **EXACT)
    assert ours.num_batches_tracked == 12
    x = draw(5, *shape[1:], seed=9)
    assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.usefixtures("loop_from")
@pytest.mark.parametrize("shape", [(12, 3), (12, 3, 2, 2)])
def test_pooled_keeps_mean_and_variance_of_the_whole_batch(shape):
    batch = draw(*shape)
    layer = trained(GhostNorm(3, gm=4, momentum=1.0, running="pooled").double(), [batch])
    channels = batch.movedim(1, 0).flatten(1)
    assert_close(layer.running_mean, channels.mean(1), **EXACT)
    assert_close(layer.running_var, channels.var(1, correction=1), **EXACT)


@pytest.mark.parametrize("gm", [2, 3, 6])
@pytest.mark.parametrize("options", [{}, {"strided": True}, {"shared_var": True}], ids=str)
def test_pooled_does_not_know_how_many_groups_there_are(gm, options):
    grouped, whole = (
        trained(GhostNorm(3, gm=g, running="pooled", **options).double(), batches(12, 3, 2)) for g in (gm, 1)
    )
    assert_close(grouped.state_dict(), whole.state_dict(), **EXACT)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("momentum", [0.3, None])
def test_of_one_group_all_conventions_are_torchs(convention, momentum):
    layer = trained(BatchNorm(3, running=convention, momentum=momentum).double(), batches(6, 3, 2))
    theirs = trained(nn.BatchNorm1d(3, momentum=momentum).double(), batches(6, 3, 2))
    assert_close(layer.state_dict(), theirs.state_dict(), **EXACT)


@pytest.mark.usefixtures("loop_from")
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(("theirs", "shape"), [(nn.BatchNorm1d, (12, 3)), (nn.BatchNorm2d, (12, 3, 2, 2))])
def test_within_is_the_average_over_a_batch_norm_for_every_group(theirs, shape, momentum):
    devices = [theirs(3, momentum=momentum).double() for _ in range(4)]
    ours = GhostNorm(3, gm=4, momentum=momentum).double()
    for batch in batches(*shape):
        ours(batch)
        for device, share in zip(devices, batch.chunk(4), strict=True):
            device(share)
    assert_close(ours.running_mean, torch.stack([device.running_mean for device in devices]).mean(0), **EXACT)
    assert_close(ours.running_var, torch.stack([device.running_var for device in devices]).mean(0), **EXACT)
    assert ours.num_batches_tracked == 3


def test_of_a_group_for_every_sample_within_is_torchs_instance_norm():
    ours = GhostNorm(3, gm=5).double()
    theirs = nn.InstanceNorm2d(3, affine=True, track_running_stats=True).double()
    for batch in batches(5, 3, 4, 2):
        assert_close(ours(batch), theirs(batch))
        assert_close(ours.running_mean, theirs.running_mean, **EXACT)
        assert_close(ours.running_var, theirs.running_var, **EXACT)
    assert_close(ours.eval()(batch), theirs.eval()(batch))


def test_a_function_moves_the_statistics_it_is_given_as_torchs_instance_norm_does():
    x, ours, theirs = draw(5, 3, 4), [torch.zeros(3), torch.ones(3)], [torch.zeros(3), torch.ones(3)]
    ghost_norm(x.float(), 5, running_mean=ours[0], running_var=ours[1], momentum=0.4)
    F.instance_norm(x.float(), *theirs, use_input_stats=True, momentum=0.4)
    assert_close(ours, theirs)


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "skipping"])
def test_memory_layout_changes_nothing(layout):
    layers = GhostNorm(3, gm=2).double(), SeqNorm(3, gc=3, gm=2).double()
    for layer in layers:
        twin = copy.deepcopy(layer)
        trained(layer, batches(6, 3, 2, 2))
        trained(twin, [laid_out(batch, layout) for batch in batches(6, 3, 2, 2)])
        assert_close(twin.state_dict(), layer.state_dict(), **EXACT)


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_of_half_precision_are_taken_in_single(space, dtype):
    batch = draw(8, 4, *space, dtype=dtype)
    for layer, twin in [(GhostNorm(4, gm=2), GhostNorm(4, gm=2)), (SeqNorm(4, gc=2, gm=2), SeqNorm(4, gc=2, gm=2))]:
        layer(batch)
        twin(batch.float())
        assert layer.running_mean.dtype == torch.float32
        rounding_between_halves = 0.02 if isinstance(layer, SeqNorm) and not space else 1e-6
        assert_close(layer.state_dict(), twin.state_dict(), rtol=0, atol=rounding_between_halves)


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_a_layer_in_half_precision_keeps_its_statistics_in_it(space):
    layer = SeqNorm(4, gc=2, gm=2).bfloat16()
    layer(draw(8, 4, *space, dtype=torch.bfloat16))
    layer.eval()(draw(3, 4, *space, dtype=torch.bfloat16))
    assert [buffer.dtype for buffer in layer.buffers()] == [torch.bfloat16, torch.bfloat16, torch.int64]


@pytest.mark.parametrize("space", [(), (3,)])
@pytest.mark.parametrize("options", [{}, {"ghost_first": True}], ids=str)
def test_evaluation_equals_the_reference(space, options):
    ghost, seq = GhostNorm(4, gm=2).double(), SeqNorm(4, gc=2, gm=2, **options).double()
    of_ghost, of_seq = reference.RunningStatistics(4), reference.RunningStatistics(4)
    state = {"weight": draw(4, seed=7), "bias": draw(4, seed=8)}
    for batch in batches(4, 4, *space):
        ghost(batch), seq(batch)
        of_ghost.step(batch, 2)
        of_seq.step(batch if options else reference.group_norm(batch, 2), 2)
    for layer in (ghost, seq):
        layer.load_state_dict(state, strict=False)
        layer.eval()
    x = draw(5, 4, *space, seed=9)
    assert_close(ghost(x), of_ghost.evaluate(x, *state.values()))
    if options:
        assert_close(seq(x), reference.group_norm(of_seq.evaluate(x), 2, *state.values()))
    else:
        assert_close(seq(x), of_seq.evaluate(reference.group_norm(x, 2), *state.values()))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_evaluation_takes_any_batch_size_and_treats_each_sample_alone(space):
    layer = trained(GhostNorm(2, gm=4).double(), batches(8, 2, *space)).eval()
    x = draw(7, 2, *space, seed=9)
    assert_close(layer(x), torch.cat([layer(x[i : i + 1]) for i in range(7)]))
    assert layer(x[:0]).shape == (0, 2, *space)


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_pooled_statistics_give_the_training_batch_unit_variance_in_evaluation(space):
    batch = draw(64, 2, *space)
    layer = trained(GhostNorm(2, gm=8, momentum=1.0, running="pooled").double(), [batch])
    channels = layer.eval()(batch).movedim(1, 0).flatten(1)
    assert_close(channels.mean(1), torch.zeros(2).double(), atol=1e-7, rtol=0)
    assert_close(channels.var(1), torch.ones(2).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("layer", [GhostNorm(4, gm=2), SeqNorm(4, gc=2, gm=2), NoisyBatchNorm(4, sigma=0.1)], ids=str)
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_evaluation_leaves_the_running_statistics_alone(layer, space):
    layer.train()(draw(4, 4, *space, dtype=torch.float32))
    before = copy.deepcopy(layer.state_dict())
    layer.eval()(draw(4, 4, *space, seed=1, dtype=torch.float32))
    assert_close(layer.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("layer", [GhostNorm(4, gm=2), SeqNorm(4, gc=2, gm=2)], ids=str)
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_running_statistics_carry_no_gradient(layer, space):
    layer(draw(4, 4, *space, dtype=torch.float32).requires_grad_())
    assert not any(buffer.requires_grad for buffer in layer.buffers())


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_a_training_step_does_not_depend_on_the_running_statistics(space):
    layer, x = SeqNorm(4, gc=2, gm=2).double(), draw(4, 4, *space)
    first = layer(x)
    assert layer(x).equal(first)


@pytest.mark.parametrize("space", [(), (3,)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_without_running_statistics_evaluation_uses_its_whole_input(space, momentum):
    layer = GhostNorm(2, gm=2, momentum=momentum, track_running_stats=False).double()
    assert list(layer.state_dict()) == ["weight", "bias"]
    x = draw(5, 2, *space)  # which 2 groups would not divide
    assert_close(layer.eval()(x), reference.ghost_norm(x, 1))
    assert_close(layer.train()(x[:4]), reference.ghost_norm(x[:4], 2))


def test_a_call_with_its_own_number_of_groups_counts_as_many_batches_in_turn():
    layer = GhostNorm(2, gm=2, momentum=None, running="sequential").double()
    literal = reference.RunningStatistics(2, None, "sequential")
    for gm in (2, 3, 1):
        layer(draw(6, 2, 2), gm=gm)
        literal.step(draw(6, 2, 2), gm)
    assert_close(layer.running_var.tolist(), literal.var, **EXACT)
    assert layer.num_batches_tracked == 6


COUNTING = {
    "BatchNorm": lambda **options: BatchNorm(4, **options),
    "GhostNorm": lambda **options: GhostNorm(4, gm=2, **options),
    "NoisyBatchNorm": lambda **options: NoisyBatchNorm(4, sigma=0.1, gm=2, **options),
    "SeqNorm": lambda **options: SeqNorm(4, gc=2, gm=2, **options),
    "reversed SeqNorm": lambda **options: SeqNorm(4, gc=2, gm=2, ghost_first=True, **options),
}
EVERY_COUNTING_LAYER = pytest.mark.parametrize("make", COUNTING.values(), ids=COUNTING)


def unmoved_by(layer, call, error=ValueError):
    """Check that a layer which has seen a batch raises on a call, and keeps count and statistics as they were."""
    layer(draw(8, 4, dtype=torch.float32))
    before = copy.deepcopy(dict(layer.named_buffers()))
    with pytest.raises(error):
        call(layer)
    assert_close(dict(layer.named_buffers()), before, rtol=0, atol=0)
    assert layer.num_batches_tracked > 0


@EVERY_COUNTING_LAYER
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_a_batch_that_its_groups_do_not_divide_is_not_counted(make, momentum, convention, space):
    layer = make(momentum=momentum, running=convention)
    unmoved_by(layer, lambda layer: layer(torch.zeros(9, 4, *space), gm=2))
    unmoved_by(layer, lambda layer: layer(torch.zeros(8, 4, *space), gm=-2))


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("ghost_first", [False, True])
@pytest.mark.parametrize("shape", [(8, 4), (8, 4, 1, 1)])
def test_a_batch_whose_groups_of_channels_hold_one_value_is_not_counted(momentum, ghost_first, shape):
    layer = SeqNorm(4, gc=2, gm=2, momentum=momentum, ghost_first=ghost_first)
    unmoved_by(layer, lambda layer: layer(torch.zeros(shape), gc=4))
    unmoved_by(layer, lambda layer: layer(torch.zeros(shape), gc=3))


@EVERY_COUNTING_LAYER
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_a_batch_with_a_tensor_of_groups_in_turn_is_not_counted(make, space):
    layer = make(running="sequential")
    unmoved_by(layer, lambda layer: layer(torch.zeros(8, 4, *space), gm=torch.tensor(2)))


@EVERY_COUNTING_LAYER
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_a_batch_that_torch_itself_refuses_is_not_counted(make, momentum, space):
    def with_a_weight_too_short(layer):
        layer.weight = nn.Parameter(torch.ones(3))
        layer(torch.zeros(8, 4, *space))

    unmoved_by(make(momentum=momentum), with_a_weight_too_short, RuntimeError)


@EVERY_COUNTING_LAYER
def test_a_compiled_layer_does_not_count_what_it_refuses(make):
    unmoved_by(make(momentum=None), lambda layer: torch.compile(layer, backend="eager")(torch.zeros(9, 4), gm=2))


@pytest.mark.parametrize("layer", [GhostNorm, BatchNorm, SeqNorm])
def test_an_unknown_convention_is_refused(layer):
    counts = {GhostNorm: {"gm": 2}, BatchNorm: {}, SeqNorm: {"gc": 2, "gm": 2}}[layer]
    message = "running must be one of within, pooled, sequential: got 'mean'. Use within, the default."
    assert refused(lambda: layer(4, **counts, running="mean")) == message


@pytest.mark.parametrize("training", [True, False])
def test_a_function_refuses_an_unknown_convention(training):
    message = "running must be one of within, pooled, sequential: got 'Within'. Use within, the default."
    statistics = {"running_mean": torch.zeros(4), "running_var": torch.ones(4), "training": training}
    x = torch.zeros(4, 4, 2)
    assert refused(lambda: functional.ghost_norm(x, 2, running="Within", **statistics)) == message
    assert refused(lambda: functional.seq_norm(x, 2, 2, running="Within", **statistics)) == message
