"""The paper's three ways to GhostNorm give every parameter the same gradient (section 2.3)."""

import copy
import multiprocessing
import os
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from seqnorm import (
    GhostNorm,
    SeqNorm,
    accumulate_gradients,
    average_gradients,
    average_running_statistics,
    convert,
)

GM = 4


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 5),
        nn.BatchNorm1d(5),
        nn.Linear(5, 3),
    ).double()


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(16, 2, 5, 5, generator=generator).double(), torch.randint(3, (16,), generator=generator)


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def directly(norm, model):
    """Return the loss of a whole batch through another norm, and the model with its gradients."""
    model = convert(copy.deepcopy(model), norm).model
    images, labels = batch()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    return loss, model


def test_accumulating_gradients_over_groups_gives_the_gradients_of_ghost_norm():
    model = network()
    loss, ghost = directly(partial(GhostNorm, gm=GM, running="sequential"), model)
    accumulated = accumulate_gradients(model, F.cross_entropy, *batch(), gm=GM)
    assert_close(accumulated.double(), loss.detach(), rtol=1e-6, atol=0)
    assert_close(gradients(model), gradients(ghost))
    assert_close(model.state_dict(), ghost.state_dict())  # running statistics too


def test_accumulated_gradients_are_not_those_of_batch_norm():
    model = network()
    _, batch_norm = directly(partial(GhostNorm, gm=1), model)
    accumulate_gradients(model, F.cross_entropy, *batch(), gm=GM)
    assert not torch.allclose(model[0].weight.grad, batch_norm[0].weight.grad)


def test_groups_that_do_not_divide_the_batch_are_refused_before_anything_runs():
    model = network()
    with pytest.raises(ValueError, match="gm must divide the batch: got gm=3 for 16 samples"):
        accumulate_gradients(model, F.cross_entropy, *batch(), gm=3)
    assert model[0].weight.grad is None
    assert model[1].num_batches_tracked == 0


def share(rank, processes):
    images, labels = batch()
    return images.chunk(processes)[rank], labels.chunk(processes)[rank]


def leave(found, file):
    """Save what was found, and end at once: gloo's threads may abort a process that tears them down in good order."""
    torch.save(found, file)
    distributed.barrier()
    os._exit(0)


def unsynchronized(rank, processes, folder):
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=processes)
    model = network()
    images, labels = share(rank, processes)
    F.cross_entropy(model(images), labels).backward()
    average_gradients(model)
    average_running_statistics(model)
    leave((gradients(model), model.state_dict()), f"{folder}/{rank}.pt")


def data_parallel(rank, processes, folder):
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=processes)
    model = DistributedDataParallel(convert(network(), partial(SeqNorm, gc=1, gm=2)).model)
    images, labels = share(rank, processes)
    F.cross_entropy(model(images), labels).backward()
    leave((gradients(model.module), model.module.state_dict()), f"{folder}/{rank}.pt")


def in_processes(program, processes, folder):
    multiprocessing.set_forkserver_preload([__name__])  # torch is imported once, not in every process
    torch.multiprocessing.start_processes(program, (processes, str(folder)), processes, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes)]


def test_unsynchronized_batch_norms_in_several_processes_give_the_gradients_of_ghost_norm(tmp_path):
    _, ghost = directly(partial(GhostNorm, gm=GM), network())
    for found, state in in_processes(unsynchronized, GM, tmp_path):
        assert_close(found, gradients(ghost))
        assert_close(state["1.running_mean"], ghost[1].running_mean)
        assert_close(state["1.running_var"], ghost[1].running_var)


def test_seq_norm_in_two_data_parallel_processes_is_seq_norm_with_twice_the_groups(tmp_path):
    _, direct = directly(partial(SeqNorm, gc=1, gm=4), network())
    for found, _ in in_processes(data_parallel, 2, tmp_path):
        assert_close(found, gradients(direct))
