"""Where a connection comes from: what limits that need no token count by."""

from __future__ import annotations

import ipaddress

IPV6_NETWORK_BITS = 64  # of the network that one host gets; it may change the rest of its address at will


def get_source(address: str | None) -> str:
    """Return what counts as one source: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:  # proxies pass on what their clients write
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_NETWORK_BITS), strict=False))
