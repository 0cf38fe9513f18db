"""Decides which processes of apps start and end, so that each wanted one runs exactly once.

    want(...)         these must run, each as its token says
    look(now)         what to start and to end
    started, ended    what happened to it

A process that ends by itself, even with success, is started again: after 1 s, then 2, 4 and so on
up to 60, and after 1 s again once it has run for a minute. If its token changes (another state of
the app's code), it ends before its successor starts, because many processes must not run twice. No
more run than there is room for; those wanted first come first.
"""

from collections.abc import Hashable, Mapping

from buntime.core.values.tuples import NamedTuple

_BACKOFF_MAX_S = 60.0
_STEADY_S = 60.0  # after running this long, it counts as started
_FAILING_MIN = 3  # failures in a row


class ProcessKey(NamedTuple):
    """Which process of which app, whatever the version."""

    app: str
    name: str


class StartProcess(NamedTuple):
    """Start it; the server then calls `started` or `ended`."""

    key: ProcessKey
    token: Hashable


class EndProcess(NamedTuple):
    """End it; the server then calls `ended`."""

    key: ProcessKey


class _State:
    def __init__(self, token: Hashable) -> None:
        self.token: Hashable | None = token  # None: no longer wanted
        self.running: Hashable | None = None  # the token that it was started with
        self.is_ending = False
        self.started_s = 0.0
        self.failures = 0  # in a row
        self.why = ""  # of the last one
        self.retry_at_s = float("-inf")
        self.starts = 0


class SeenProcess(NamedTuple):
    """One process, for metrics."""

    key: ProcessKey
    is_up: bool
    starts: int


class FailingProcess(NamedTuple):
    """One that does not stay up."""

    key: ProcessKey
    failures: int  # in a row
    why: str  # it ended the last time, or was not started


class Keeper:
    """All processes of all apps. `now` is monotonic, in seconds."""

    def __init__(self, most: int) -> None:
        """At most `most` run at a time."""
        self.most = most
        self._states: dict[ProcessKey, _State] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Keeper({self._running()} of {len(self._states)} run)"

    def seen(self) -> list[SeenProcess]:
        """All wanted processes, ordered by app and name."""
        return [
            SeenProcess(key, state.running is not None, state.starts)
            for key, state in sorted(self._states.items())
        ]

    def failing(self, now: float) -> list[FailingProcess]:
        """The processes that have ended several times in a row, whether or not they run just now,
        ordered like all."""
        return [
            FailingProcess(key, state.failures, state.why)
            for key, state in sorted(self._states.items())
            if state.failures >= _FAILING_MIN
            and (state.running is None or now - state.started_s < _STEADY_S)
        ]

    def want(self, wanted: Mapping[ProcessKey, Hashable]) -> None:
        """These must run, and no others."""
        for key, state in self._states.items():
            token = wanted.get(key)
            if token is not None and token != state.token:
                state.failures, state.retry_at_s = 0, float("-inf")  # it may be fixed now
            state.token = token
        for key, token in wanted.items():
            if key not in self._states:
                self._states[key] = _State(token)
        for key in [key for key, state in self._states.items() if _is_over(state)]:
            del self._states[key]

    def look(self, now: float) -> list[StartProcess | EndProcess]:
        """What to do now."""
        if self._is_closed:
            return []
        decisions: list[StartProcess | EndProcess] = []
        room = self.most - self._running()
        for key, state in self._states.items():
            if state.running is not None:
                if state.running != state.token and not state.is_ending:
                    state.is_ending = True
                    decisions.append(EndProcess(key))
            elif state.token is not None and now >= state.retry_at_s and room > 0:
                room -= 1
                state.running, state.started_s, state.is_ending = state.token, now, False
                state.starts += 1
                decisions.append(StartProcess(key, state.token))
        return decisions

    @property
    def lacking(self) -> list[ProcessKey]:
        """The wanted processes without room."""
        if self._running() < self.most:
            return []
        return [key for key, state in self._states.items() if state.running is None]

    def ended(self, key: ProcessKey, now: float, why: str) -> float | None:
        """It has ended, or could not be started; returns the seconds until it is started again.

        None if it was told to end, or is no longer wanted.
        """
        state = self._states[key]
        was_meant = state.is_ending
        state.running, state.is_ending = None, False
        if was_meant or state.token is None:
            if state.token is None:
                del self._states[key]
            return None
        state.failures = 1 if now - state.started_s >= _STEADY_S else state.failures + 1
        state.why = why
        wait_s = min(_BACKOFF_MAX_S, 2.0 ** (min(state.failures, 10) - 1))
        state.retry_at_s = now + wait_s
        return wait_s

    def close(self) -> None:
        """The runtime ends: nothing is started any more."""
        self._is_closed = True

    def _running(self) -> int:
        return sum(state.running is not None for state in self._states.values())


def _is_over(state: _State) -> bool:
    return state.token is None and state.running is None
