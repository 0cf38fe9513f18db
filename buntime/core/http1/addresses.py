"""Counts each client's connections by address, and says who has many; IPv6 by its network of 64
bits.

A household or a server gets at least a /64 from its provider: these addresses count as one client.

A client that has more than MANY connections is a crowd, until it has FEW. The difference keeps one
that comes and goes from changing sides each time.
"""

from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Generic, TypeVar

MANY = 64  # a browser opens six for a host, and a proxy without many clients some dozens
FEW = 32

_HOST_BITS = 64
_C = TypeVar("_C")


@lru_cache(maxsize=1024)  # each connection asks three times; an IPv6 address takes some us
def client_network(address: str) -> str:
    """The network that counts as one client: "203.0.113.7", "2001:db8:1:2::7" ->
    "2001:db8:1:2::/64"."""
    if ":" not in address:
        return address
    number = int(IPv6Address(address.partition("%")[0]))
    return f"{IPv6Address(number >> _HOST_BITS << _HOST_BITS)}/64"


class AddressCounts(Generic[_C]):
    """The connections of each client, among those that were added."""

    def __init__(self) -> None:
        self._network_of: dict[_C, str] = {}
        self._held: dict[str, set[_C]] = {}  # by network; none is empty
        self._crowds: set[str] = set()

    def __repr__(self) -> str:
        return f"AddressCounts({len(self._network_of)} of {len(self._held)} clients)"

    def count(self, address: str) -> int:
        """How many connections the client has."""
        return len(self._held.get(client_network(address), ()))

    def is_crowd(self, address: str) -> bool:
        """Does the client have many?"""
        return client_network(address) in self._crowds

    def add(self, connection: _C, address: str) -> Collection[_C]:
        """Returns the connections that belong to a crowd from now on."""
        network = self._network_of[connection] = client_network(address)
        held = self._held.setdefault(network, set())
        held.add(connection)
        if network in self._crowds:
            return (connection,)
        if len(held) <= MANY:
            return ()
        self._crowds.add(network)
        return tuple(held)

    def discard(self, connection: _C) -> Collection[_C]:
        """Forget a connection that has ended; it may never have been added.

        Returns the connections that do not belong to a crowd any more.
        """
        network = self._network_of.pop(connection, None)
        if network is None:
            return ()
        held = self._held[network]
        held.discard(connection)
        if not held:
            del self._held[network]
        if network not in self._crowds or len(held) > FEW:
            return ()
        self._crowds.discard(network)
        return tuple(held)
