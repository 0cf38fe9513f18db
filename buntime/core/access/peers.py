"""Tells whether the other end of a connection is this machine."""

from ipaddress import IPv6Address, ip_address

UNIX_PEER = "unix"  # stands in for the address of a peer on the runtime's unix socket


def is_loopback(peer: str) -> bool:
    """Whether `peer`, an address or `UNIX_PEER`, is this machine: "127.0.0.1", "::1"."""
    if peer == UNIX_PEER:
        return True
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
