"""One thread, as the shapes are tiny; ``make kernels`` asks for others."""

import os

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    yield
    torch.set_num_threads(before)
