"""Slows down clients that guess keys, and nobody else.

An address may send a limited number of wrong keys at once, and a few more as time passes. Beyond
that, every key from it is refused unseen (429), even a right one: otherwise guessing could go on. A
right key from any other address is accepted, whatever happens elsewhere. When wrong keys come from
many addresses at once, each of these addresses has to wait longer.

This applies to RUNTIME_MASTER_KEY, which a person may have chosen and which can be guessed. A key
that the runtime has made (`keytext`) has 256 random bits and is accepted at once from anywhere:
only wrong ones are counted. Keys that were once right also count against their name.

An IPv6 address counts as its /64, which belongs to one customer. The memory is bounded; when it is
full, the oldest address starts over.
"""

import math
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from buntime.core.access.keys import bears_key, offers_key
from buntime.core.errors import ClientFault
from buntime.core.values.bucket import TokenBucket

_BURST = 10.0  # wrong keys from one address: a typo, a script with an old key
_RATE = 0.2  # wrong keys a second in the long run
_ALL_BURST = 200.0  # from all addresses
_ALL_RATE = 4.0
_PENALTY = 20  # tokens; what a wrong key costs its address while all together send too many
_ADDRESSES_MAX = 4096


class Guesses:
    """The recent wrong keys."""

    __slots__ = ("_all", "_by_network")

    def __init__(self) -> None:
        self._by_network: dict[str, TokenBucket] = {}
        self._all: TokenBucket | None = None

    def __repr__(self) -> str:
        return f"Guesses({len(self._by_network)} addresses)"

    def admit(
        self, headers: Iterable[tuple[str, str]], key: str | None, *, address: str, now: float
    ) -> bool:
        """Whether a request from this address bears the key.

        Raises ClientFault (429) where too many wrong ones have come from there.
        """
        if not key or not offers_key(headers):
            return False
        self._check(address, now)
        if bears_key(headers, key):
            return True
        self._count(network_of(address), now)
        return False

    def turn_away(self, headers: Iterable[tuple[str, str]], *, address: str, now: float) -> None:
        """Count a request whose key is already known to be wrong. Raises as `admit`."""
        if offers_key(headers):
            self._check(address, now)
            self._count(network_of(address), now)

    def turn_away_named(self, name: str, *, address: str, now: float) -> None:
        """Count a request that bears a key that was once right: against its address and its name.

        Raises as `admit`.
        """
        bucket = self._by_network.get(_named(name))
        if bucket is not None and not bucket.has(now):
            raise _too_many(bucket.wait_s(now))
        self._check(address, now)
        self._count(network_of(address), now)
        self._count(_named(name), now)

    def _check(self, address: str, now: float) -> None:
        bucket = self._by_network.get(network_of(address)) if self._by_network else None
        if bucket is not None and not bucket.has(now):
            raise _too_many(bucket.wait_s(now))

    def _count(self, network: str, now: float) -> None:
        if self._all is None:
            self._all = TokenBucket(rate=_ALL_RATE, burst=_ALL_BURST, now=now)
        bucket = self._by_network.pop(network, None)
        if bucket is None:
            bucket = TokenBucket(rate=_RATE, burst=_BURST, now=now)
            if len(self._by_network) >= _ADDRESSES_MAX:
                del self._by_network[next(iter(self._by_network))]
        self._by_network[network] = bucket  # the latest stays last
        bucket.spend(1 if self._all.take(1, now) else _PENALTY, now)


def _named(name: str) -> str:
    """The name of a key as an entry beside addresses, none of which contains a space."""
    return f"key {name}"


def network_of(address: str) -> str:
    """ "192.0.2.1" -> "192.0.2.1", "2001:db8::1" -> "2001:db8::/64", "unix" -> "unix"."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


def _too_many(wait_s: float) -> ClientFault:
    return ClientFault(
        429,
        "too_many_keys",
        "too many wrong keys came from this address; its keys are not checked for now",
        headers=(("Retry-After", str(max(1, math.ceil(wait_s)))),),
    )
