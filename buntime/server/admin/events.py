"""`GET /api/events`: changes, sent to listeners as they happen, and rates every two seconds.

    signs, once a second ──> which differ ──> each listener: has a right to it? has room?
    counters, each 2 s   ──> stats        ──>                no room: one line of its kind waits

While nobody listens, nothing is checked. A listener that does not read costs only what waits for
it: the names of what has changed, at most PENDING_MAX, and no stats. It is ended after a while.
"""

from collections.abc import Callable, Iterable, Mapping

from buntime.core.access.rights import Caller, may
from buntime.core.admin.attention import Item
from buntime.core.admin.watchroutes import KINDS
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.plugins.plan import owner_of
from buntime.core.telemetry.growth import Growth
from buntime.core.telemetry.livestats import Now
from buntime.core.telemetry.meters import Held
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.admin.parts import Parts
from buntime.server.admin.signs import EVERYTHING, Sign, changed, signs_of
from buntime.server.admin.streaming import EVENTS, Stream

LISTENERS_MAX = 64
PENDING_MAX = 100  # names waiting for one listener; beyond that it is told to reload
LOOK_S = 1.0
_STATS_EVERY = 2  # looks
UNREAD_S = 60.0  # a listener without room for this long is ended


class EventPages:
    """Serves this page."""

    def __init__(self, parts: Parts, take_signs: Callable[[], dict[Sign, object]]) -> None:
        self._parts = parts
        self._loop = parts.service.loop
        self._take_signs = take_signs
        self.listeners: set[Listener] = set()
        # while somebody listens
        self._signs: dict[Sign, object] = {}
        self._growth = Growth()
        self._taken_s = 0.0
        self._looks = 0
        self._is_looking = False
        self._now: Now | None = None
        parts.follow_apps(lambda names: self.tell("apps", *names))
        parts.maintenance.follow(lambda: self.tell("apps", EVERYTHING))

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"events.list": self._listen}

    def tell(self, kind: str, *names: str) -> None:
        """Report a change of this kind: apps' names, "" for what has no app, or EVERYTHING."""
        for listener in tuple(self.listeners) if names else ():
            for name in names:
                listener.note(kind, name)
            listener.flush()

    def _listen(self, call: Call) -> None:
        kinds = call.query["kinds"]
        wanted = frozenset(kinds.split(",")) if kinds else frozenset(KINDS)
        if unknown := sorted(wanted - {*KINDS}):
            raise ClientFault(
                400, "bad_query", f"kinds: {unknown[0]!r} is not one of {', '.join(KINDS)}"
            )
        if len(self.listeners) >= LISTENERS_MAX:
            raise ServerFault(
                503,
                "too_many_listeners",
                f"{LISTENERS_MAX} clients are already listening to events",
            )
        if not self.listeners:
            self._begin()
        listener = Listener(call, wanted)
        if listener.begin(self.listeners.discard):
            self.listeners.add(listener)
            listener.show(self._now)

    # While somebody listens

    def _begin(self) -> None:
        self._signs = self._take_signs()
        self._growth = Growth()
        self._growth.take(self._parts.service.meters)
        self._taken_s, self._now = self._loop.now, None
        self._looks = 0
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        if not self.listeners:
            self._is_looking = False
            return
        self._loop.call_later(LOOK_S, self._look)
        self._looks += 1
        before, self._signs = self._signs, self._take_signs()
        by_kind: dict[str, list[str]] = {}
        for kind, name in changed(before, self._signs):
            by_kind.setdefault(kind, []).append(name)
        for kind, names in by_kind.items():
            self.tell(kind, *names)
        for listener in tuple(self.listeners):
            listener.end_if_unread(self._loop.now)
        if self._looks % _STATS_EVERY == 1:  # the first one soon
            self._parts.chronicle.measure(self._take_stats)

    def _take_stats(self, held: Mapping[str, Held]) -> None:
        now, service = self._loop.now, self._parts.service
        queued: dict[str, int] = {}
        for app, count in self._parts.pool.report.queues():
            queued[app.name] = queued.get(app.name, 0) + count
        grown = self._growth.take(service.meters)
        self._now = Now(max(now - self._taken_s, 0.001), grown, held, queued)
        self._taken_s = now
        for listener in tuple(self.listeners):
            listener.show(self._now)


class Listener:
    """One listening client, and what it has not been told yet."""

    def __init__(self, call: Call, kinds: frozenset[str]) -> None:
        self.call = call
        self.stream: Stream
        self._kinds = kinds
        self._pending: dict[Sign, None] = {}
        self._full_since_s: float | None = None
        verb = call.route.verb
        self._sees = sight_of(call.caller, verb)
        self._sees_plugins = may(call.caller, "plugins:read")

    def __repr__(self) -> str:
        return f"Listener({self.call.by}, {len(self._pending)} pending)"

    def begin(self, forget: Callable[["Listener"], None]) -> bool:
        """Send the head; False if the client is gone."""
        self.stream = self.call.stream(EVENTS)
        if self.stream.is_over:
            return False
        self.stream.on_end = lambda: forget(self)
        self.stream.on_room = self.flush
        self.stream.send(b"retry: 2000\n\n")
        return not self.stream.is_over

    def note(self, kind: str, name: str) -> None:
        """Queue it, if the caller may know it; `flush` sends it."""
        if kind not in self._kinds or not self._may_know(kind, name):
            return
        if kind == "menus":
            name = EVERYTHING  # all entries are one list
        if len(self._pending) >= PENDING_MAX:
            others = {each for each in self._pending if each[0] != kind}
            self._pending = dict.fromkeys(others)
            name = EVERYTHING
        if (kind, EVERYTHING) not in self._pending:
            self._pending[kind, name] = None

    def flush(self) -> None:
        """Send what waits, as far as the client has room."""
        stream = self.stream
        while self._pending and stream.has_room:
            kind, name = next(iter(self._pending))
            del self._pending[kind, name]
            key = "plugin" if kind == "plugins" else "app"
            stream.event({key: name or None} if name != EVERYTHING else {}, event=kind)
        self._full_since_s = None if stream.has_room else self._full_since_s

    def show(self, now: Now | None) -> None:
        """Send the stats if the client has room; otherwise it gets the next ones."""
        if now is not None and "stats" in self._kinds and self.stream.has_room:
            self.stream.event(now.to_json(self._sees), event="stats")
        elif self.stream.has_room:
            self.stream.send(b":\n\n")  # shows proxies that it is alive

    def end_if_unread(self, now: float) -> None:
        if self.stream.has_room:
            self._full_since_s = None
        elif self._full_since_s is None:
            self._full_since_s = now
        elif now - self._full_since_s >= UNREAD_S:
            self.stream.cut()

    def _may_know(self, kind: str, name: str) -> bool:
        if kind == "menus":  # as the list of entries itself
            return may(self.call.caller, "apps:open", owner_of(name))
        if kind == "plugins":
            return self._sees_plugins
        return self._sees is None or name == EVERYTHING or self._sees(name)


def sight_of(caller: Caller, verb: str) -> Callable[[str], bool] | None:
    """Which apps a caller may see; None means all, with plugins and what belongs to no app."""
    if may(caller, verb):
        return None
    return lambda name: bool(name) and ":" not in name and may(caller, verb, name)


def event_pages(parts: Parts, items: Callable[[], Iterable[Item]]) -> EventPages:
    """The events page of a runtime; `items` are what needs attention."""
    return EventPages(parts, lambda: signs_of(parts, items()))
