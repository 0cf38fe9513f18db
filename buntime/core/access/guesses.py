"""Slows down who guesses the key, and nobody else.

From one address so many wrong keys are looked at, and further ones as time passes; till then each
key from there is refused unseen (429), a right one too, as else guessing would go on. From any
other address a right key is let in, whatever goes on elsewhere. Where wrong keys come from many
addresses at once, each of these has to wait longer.

That is of keys that somebody may have chosen, and so may be guessed: RUNTIME_MASTER_KEY. A key that
the runtime has made (`keytext`) has 256 bits of chance, and is let in at once wherever it comes
from: only wrong ones are counted. Those that were right once count for their name as well.

An address of IPv6 stands for its /64, which one customer has. What is remembered is bounded; whom
it is too small for, the oldest of them, begins anew.
"""

import math
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from buntime.core.access.keys import bears_key, offers_key
from buntime.core.errors import ClientFault
from buntime.core.values.bucket import TokenBucket

_BURST = 10.0  # wrong keys from one address: a person mistypes, a script has an old one
_RATE = 0.2  # of them a second in the long run
_ALL_BURST = 200.0  # from all addresses
_ALL_RATE = 4.0
_PENALTY = 20  # tokens; a wrong key costs an address so many while all send too many
_ADDRESSES_MAX = 4096


class Guesses:
    """The wrong keys that have come lately."""

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
        """A request bears no key that is right, which is known already. Raises as `admit`."""
        if offers_key(headers):
            self._check(address, now)
            self._count(network_of(address), now)

    def turn_away_named(self, name: str, *, address: str, now: float) -> None:
        """A request bears a key that was right once: it counts for its name too, from wherever.

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
        self._by_network[network] = bucket  # the latest stands last
        bucket.spend(1 if self._all.take(1, now) else _PENALTY, now)


def _named(name: str) -> str:
    """Where a key's name stands beside addresses, which have no blank."""
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
        "too many wrong keys have come from this address; no key from there is looked at for now",
        headers=(("Retry-After", str(max(1, math.ceil(wait_s)))),),
    )
