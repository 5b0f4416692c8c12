"""What counts as one source of connections."""

from __future__ import annotations

import pytest

from service.source import get_source


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        ("192.0.2.7, 192.0.2.8", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_host_is_one_source_whichever_of_its_addresses_it_uses(address: str | None, source: str) -> None:
    assert get_source(address) == source
