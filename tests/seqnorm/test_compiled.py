"""The layers under torch.compile, torch.export and autocast, and what they save for the backward pass."""

import copy

import pytest
import torch
from torch import nn
from torch.profiler import profile
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, GroupNorm, InvalidGroups, NoisyBatchNorm, SeqNorm, ghost_norm, seq_norm

LAYERS = {
    "GhostNorm": lambda: GhostNorm(8, gm=2),
    "GroupNorm": lambda: GroupNorm(8, gc=2),
    "SeqNorm": lambda: SeqNorm(8, gc=2, gm=2),
    "reversed SeqNorm": lambda: SeqNorm(8, gc=2, gm=2, ghost_first=True),
    "shared variance, in turn": lambda: SeqNorm(8, gc=2, gm=2, shared_var=True, running="sequential", momentum=None),
}


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()


def counting(backend):
    """Return a backend that counts the programs it is given."""
    from torch._dynamo.testing import CompileCounterWithBackend  # takes seconds, which collecting tests need not spend

    return CompileCounterWithBackend(backend)


def draw(*shape, seed=0):
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 1


def outputs_and_gradients(layer, x, upstream):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(x)
    return y, torch.autograd.grad(y, (x, *layer.parameters()), upstream)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3, 2)], ids=["flat", "images"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_compiled_equals_eager_without_a_graph_break(make, shape):
    eager = make()
    compiled = torch.compile(copy.deepcopy(eager), fullgraph=True)
    for step in range(2):
        x, upstream = draw(*shape, seed=step), draw(*shape, seed=9)
        assert_close(
            outputs_and_gradients(compiled, x, upstream),
            outputs_and_gradients(eager, x, upstream),
            rtol=1e-4,
            atol=1e-4,
        )
    assert_close(list(compiled.state_dict().values()), list(eager.state_dict().values()), rtol=1e-4, atol=1e-5)
    assert_close(compiled.eval()(x), eager.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [*LAYERS.values(), lambda: BatchNorm(8)], ids=[*LAYERS, "BatchNorm"])
@pytest.mark.parametrize("value", [0.0, 3.0, 1e4])
def test_a_constant_input_compiles_to_zeros_with_finite_gradients(make, value):
    layer = make()
    x = torch.full((4, 8, 4, 4), value)
    y, gradients = outputs_and_gradients(torch.compile(layer, fullgraph=True), x, draw(4, 8, 4, 4))
    # sums of 64 equal whole numbers, and their quotients by powers of two, are exact in whatever order
    assert_close(y, torch.zeros_like(x), rtol=0, atol=1e-6)
    assert all(gradient.isfinite().all() for gradient in gradients)
    if not isinstance(layer, BatchNorm):  # which eagerly is torch's, and is off by 0.03 here
        assert_close(layer(x), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "norm", [lambda x: seq_norm(x, 2, 4), lambda x: ghost_norm(x, 4)], ids=["SeqNorm", "GhostNorm"]
)
def test_more_layer_shapes_need_no_more_programs_after_the_first_few(norm):
    counter = counting("aot_eager")
    compiled = torch.compile(norm, backend=counter, fullgraph=True)
    shapes = [(16, 64, 8, 8), (16, 128, 4, 4), (32, 256, 4, 4), (64, 32, 16, 16), (8, 16, 7, 7), (24, 20, 5, 3)]
    for shape in [*shapes, (12, 40, 9, 9), (20, 24, 6, 6), (8, 48, 3, 5)]:
        x = draw(*shape).requires_grad_()
        assert_close(compiled(x), norm(x), rtol=1e-4, atol=1e-4)
    assert counter.frame_count <= 4


def test_counts_given_as_tensors_share_one_program():
    counter = counting("inductor")
    compiled = torch.compile(lambda x, gc, gm: seq_norm(x, gc, gm), backend=counter, fullgraph=True)
    x = draw(16, 8, 3, 3).requires_grad_()
    for gc, gm in [(0, 1), (0, 4), (1, 2), (2, 8), (8, 1)]:
        expected = seq_norm(x, gc, gm) if gc else ghost_norm(x, gm)
        assert_close(compiled(x, torch.tensor(gc), torch.tensor(gm)), expected, rtol=1e-4, atol=1e-5)
    assert counter.frame_count == 1


def test_noise_compiles():
    layer = NoisyBatchNorm(8, sigma=0.1, gm=2)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = draw(8, 8, 3, 3)
    assert not compiled(x).equal(compiled(x))
    assert_close(compiled.eval()(x), layer.eval()(x))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_an_exported_program_equals_the_layer(make, training):
    layer = make().train(training)
    batch = {} if training else {"dynamic_shapes": ({0: torch.export.Dim("M")},)}
    exported = torch.export.export(copy.deepcopy(layer), (draw(4, 8, 3, 3),), **batch).module()
    x = draw(4 if training else 7, 8, 3, 3, seed=1)
    assert_close(exported(x), layer(x))
    assert_close(list(exported.buffers()), list(layer.buffers()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_under_autocast_the_statistics_are_float32_and_the_output_is_as_the_input(make, dtype):
    layer = make()
    x = (draw(8, 8, 3, 2) + 50).to(dtype)  # variances of half precision would be far off
    with torch.autocast("cpu", dtype=dtype):
        output = layer(x)
        assert layer(x, **counts_as_tensors(layer)).dtype == dtype
    assert output.dtype == dtype
    assert_close(output.float(), make()(x.float()), rtol=2e-2, atol=2e-2)
    assert {buffer.dtype for buffer in layer.buffers()} <= {torch.float32, torch.int64}
    output.sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in layer.parameters())


def counts_as_tensors(layer):
    if isinstance(layer, GroupNorm) or layer.running == "sequential":
        return {}
    return {name: torch.tensor(2) for name in ("gc", "gm") if hasattr(layer, name)}


def kept_by_forward(layer, x):
    """Count the bytes that a forward pass allocates and does not free, the output left out."""
    with profile(profile_memory=True) as measured:
        output = layer(x)
    return (
        sum(event.self_device_memory_usage + event.self_cpu_memory_usage for event in measured.events()) - output.nbytes
    )


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "make", [lambda: GhostNorm(16, gm=4), lambda: SeqNorm(16, gc=4, gm=4)], ids=["GhostNorm", "SeqNorm"]
)
def test_besides_its_input_a_layer_keeps_a_few_numbers_for_each_sample_and_channel(make, memory_format):
    x = draw(32, 16, 32, 32).to(memory_format=memory_format).requires_grad_()
    layer = make()
    layer(x)
    kept = kept_by_forward(layer, x)
    assert 0 < kept <= 12 * 4 * 32 * 16
    theirs = nn.Sequential(nn.GroupNorm(4, 16, affine=False), nn.BatchNorm2d(16))
    assert kept_by_forward(theirs, x) > x.nbytes  # the activation between: what is measured is what is kept


def test_nothing_asks_the_device_for_a_number():
    layer = SeqNorm(8, gc=2, gm=2, momentum=None).to("meta")
    x = torch.empty(8, 8, 3, 3, device="meta", requires_grad=True)  # has no numbers: asking for one raises
    layer(x).sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.torch.jit.trace:FutureWarning")
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_traced_layer_evaluates_as_the_layer(make):
    layer, x = make().eval(), draw(4, 8, 3, 3)
    traced = torch.jit.trace(layer, x, check_trace=False)
    assert_close(traced(x), layer(x))


def test_group_counts_that_do_not_fit_are_refused_by_the_same_class_while_compiling():
    with pytest.raises(InvalidGroups, match=r"^gm must divide the batch: got gm=3 for 4 samples"):
        torch.compile(GhostNorm(4, gm=3), backend="eager")(torch.zeros(4, 4, 2))
