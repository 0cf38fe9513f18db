"""How much workers may print: one by itself, and all workers of an app together."""

from buntime.core.values.bucket import TokenBucket

LINES_PER_S = 1000.0  # of one worker; a line costs the loop 20 us
LINES_BURST = 10_000.0
BYTES_PER_S = 1024.0 * 1024
BYTES_BURST = 8.0 * 1024 * 1024
# For an app, in workers' shares: an app must not gain room to print by workers that die or have
# served their request.
_APP_SHARES = 5
_APP_BURSTS = 2
_APPS_MAX = 1000


class Allowance:
    """Lines and bytes, in the long run and at once."""

    __slots__ = ("_bytes", "_lines")

    def __init__(self, *, now: float, shares: int = 1, bursts: int = 1) -> None:
        """This many times what a worker may print."""
        lines_rate, bytes_rate = LINES_PER_S * shares, BYTES_PER_S * shares
        self._lines = TokenBucket(rate=lines_rate, burst=LINES_BURST * bursts, now=now)
        self._bytes = TokenBucket(rate=bytes_rate, burst=BYTES_BURST * bursts, now=now)

    def __repr__(self) -> str:
        return f"Allowance({self._lines!r}, {self._bytes!r})"

    def is_spent(self, now: float) -> bool:
        return not (self._lines.has(now) and self._bytes.has(now))

    def is_full(self, now: float) -> bool:
        """Whether it is as full as a new one."""
        return self._lines.is_full(now) and self._bytes.is_full(now)

    def take(self, lines: int, size_bytes: int, now: float) -> int:
        """Take this many lines and bytes; returns how many of the lines are covered."""
        self._bytes.spend(size_bytes, now)
        return self._lines.take(lines, now)


def worker_allowance(now: float) -> Allowance:
    """Of a worker that starts."""
    return Allowance(now=now)


class Allowances:
    """Those of apps, by their names; a plugin's is `plugin:NAME`."""

    def __init__(self) -> None:
        self._by_app: dict[str, Allowance] = {}

    def __repr__(self) -> str:
        return f"Allowances({len(self._by_app)} apps)"

    def of(self, app: str, now: float) -> Allowance:
        """What all workers of an app may print together, including those that have ended."""
        found = self._by_app.get(app)
        if found is None:
            if len(self._by_app) >= _APPS_MAX:
                self._forget_full(now)
            found = self._by_app[app] = Allowance(now=now, shares=_APP_SHARES, bursts=_APP_BURSTS)
        return found

    def _forget_full(self, now: float) -> None:
        for app in [app for app, each in self._by_app.items() if each.is_full(now)]:
            del self._by_app[app]
