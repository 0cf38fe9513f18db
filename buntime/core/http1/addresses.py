"""Counts each client's connections by address; IPv6 by its network of 64 bits.

A household or a server gets at least a /64 from its provider: these addresses count as one client.
"""

from collections import Counter
from ipaddress import IPv6Address

_HOST_BITS = 64


def client_network(address: str) -> str:
    """The network that counts as one client: "203.0.113.7", "2001:db8:1:2::7" ->
    "2001:db8:1:2::/64"."""
    if ":" not in address:
        return address
    number = int(IPv6Address(address.partition("%")[0]))
    return f"{IPv6Address(number >> _HOST_BITS << _HOST_BITS)}/64"


class AddressCounts:
    """The number of connections of each client, among those that were added."""

    def __init__(self) -> None:
        self._network_of: dict[object, str] = {}
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"AddressCounts({len(self._network_of)} of {len(self._counts)} clients)"

    def count(self, address: str) -> int:
        """How many connections the client has."""
        return self._counts[client_network(address)]

    def add(self, connection: object, address: str) -> None:
        network = self._network_of[connection] = client_network(address)
        self._counts[network] += 1

    def discard(self, connection: object) -> None:
        """Forget a connection that has ended; it may never have been added."""
        network = self._network_of.pop(connection, None)
        if network is None:
            return
        self._counts[network] -= 1
        if not self._counts[network]:
            del self._counts[network]
