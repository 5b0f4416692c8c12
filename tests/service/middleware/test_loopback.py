"""Whether an address can be reached from this machine alone."""

from __future__ import annotations

import pytest

from service.middleware.loopback import LOOPBACK, is_loopback


@pytest.mark.parametrize("host", [*LOOPBACK, "127.8.9.10"])
def test_an_address_of_this_machine_alone_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "localhost.example", "127.0.0.1.example", ""])
def test_what_other_machines_reach_is_not(host: str) -> None:
    assert not is_loopback(host)
