"""Slows down guesses: by the address that they come from, and by the user name.

After a few wrong guesses each further try has to wait, twice as long each time, up to some minutes.
A name tolerates more of them than an address, so that nobody can quickly lock out somebody else;
and the wait is never longer than `WAIT_MAX_S`, however many there are. Of IPv6, a /64 is one
address: whoever has one has all of it.

Guesses that are being checked count as wrong until it is known: else as many as there are threads
would pass at a time. The right password of one user makes up for what was wrong of that user, and
not for guesses at others from the same address.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter, OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FREE_OF_ADDRESS, FREE_OF_NAME = 5, 20
WAIT_MAX_S = 300.0
_FORGET_S = 900.0  # after the last wrong one
_KEPT_MAX = 30_000  # of addresses, names, and pairs of the two
_DOUBLINGS_MAX = 10  # far more than lead there; a float holds 1023, which come after some days
_CHECKED_S = 1.0  # the wait while another guess is checked, which may be wrong

_Key = tuple[str, ...]


class Throttle:
    """Counts wrong guesses. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[_Key, tuple[int, float]] = OrderedDict()
        self._under_way: Counter[_Key] = Counter()

    @contextmanager
    def guess(self, address: str, name: str, now: float) -> Iterator[float]:
        """While a guess is checked. Gives how long it takes until one may be; 0.0 for now.

        What comes of it is told by `on_wrong` or `on_right` meanwhile.
        """
        keys = _keys(address, name)[:2]
        with self._lock:
            wait_s = max(
                self._wait(keys[0], FREE_OF_ADDRESS, now), self._wait(keys[1], FREE_OF_NAME, now)
            )
            if not wait_s:
                self._under_way.update(keys)
        try:
            yield wait_s
        finally:
            if not wait_s:
                with self._lock:
                    self._under_way -= Counter(keys)

    def on_wrong(self, address: str, name: str, now: float) -> None:
        with self._lock:
            for key in _keys(address, name):
                count, last = self._wrong.pop(key, (0, now))
                self._wrong[key] = (1 if now - last > _FORGET_S else count + 1, now)
            while len(self._wrong) > _KEPT_MAX:
                self._wrong.popitem(last=False)

    def on_right(self, address: str, name: str) -> None:
        """The right password was given: what was wrong of this name counts no more."""
        of_address, of_name, of_both = _keys(address, name)
        with self._lock:
            self._wrong.pop(of_name, None)
            own, _ = self._wrong.pop(of_both, (0, 0.0))
            count, last = self._wrong.get(of_address, (0, 0.0))
            if count > own:
                self._wrong[of_address] = (count - own, last)
            else:
                self._wrong.pop(of_address, None)

    def _wait(self, key: _Key, free: int, now: float) -> float:
        count, last = self._wrong.get(key, (0, now))
        if now - last > _FORGET_S:
            count = 0
        under_way = self._under_way[key]
        if count + under_way < free:
            return 0.0
        if under_way:
            return _CHECKED_S
        wait = min(2.0 ** min(count - free, _DOUBLINGS_MAX), WAIT_MAX_S)
        return max(0.0, last + wait - now)


def _keys(address: str, name: str) -> tuple[_Key, _Key, _Key]:
    network = _network(address)
    return ("address", network), ("name", name), ("both", network, name)


def _network(address: str) -> str:
    """`"2001:db8::1"` -> `"2001:db8::/64"`; other addresses as they are."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
