"""Caches verdicts, so that a session is checked once in a while and not for each request.

The cache's key has everything that the hook may have used:

    plugin, its generation, app, version, base, scheme, host, method, whether it is a WebSocket,
    who sent the request so far (including what a trusted proxy says),
    path and query, unless any_path,
    the values of what the hook named in `vary`, where "absent" is a value

Only its verdicts show what a hook varies by, so the look-up has two steps: the common part gives
the ways in which the plugin has told such requests apart; then each of these is tried. A request is
looked up in at most `WAYS_MAX` ways.

Never cached are verdicts other than Continue; those with Set-Cookie, which are for one client;
those given after the body was seen; and those with a tag that was forgotten after the hook was
asked, since the hook may have looked before that.

Limited by entries and bytes; the least recently used goes first. Times are monotonic seconds; a
verdict's `until` is in seconds since 1970, so `put` takes both clocks.
"""

from collections import OrderedDict
from math import inf

from buntime.core.http1.section import Fields
from buntime.core.plugins.forgotten import Forgotten
from buntime.core.plugins.identity import identity_key
from buntime.core.plugins.vary import Source, Values, values_of
from buntime.core.plugins.verdict import PASS, Continue, Verdict
from buntime.core.values.tuples import QuickTuple

WAYS_MAX = 4
_ENTRY_MAX_BYTES = 16 * 1024
_OVERHEAD_BYTES = 800  # per entry: its objects, and its places in the dicts
_USED_S = 1.0  # how much later an entry is used that may count as used since


class Common(QuickTuple):
    """What every verdict depends on."""

    plugin: str
    generation: int
    app: str
    version: str
    base: str  # "/shop" or "/shop@1": the hook sees it, and may have made a link of it
    scheme: str
    host: str
    method: str
    is_websocket: bool
    identity: str  # see `identity_key`
    proxy: Fields  # what a trusted proxy says about the sender, see `identity.take_out`


class Asked(QuickTuple):
    """A request as a hook sees it."""

    common: Common
    target: str  # below the base, as received, with the query
    fields: Fields
    client: str  # its address


class _Way(QuickTuple):
    """One way in which a plugin tells requests apart."""

    any_path: bool
    vary: tuple[Source, ...]


class _Key(QuickTuple):
    common: Common
    way: _Way
    target: str
    values: Values


class Kept:
    """A cached verdict."""

    __slots__ = ("changes_nothing", "key", "size_bytes", "until", "used_s", "verdict")

    def __init__(self, key: _Key, verdict: Continue, until: float, size_bytes: int) -> None:
        self.key = key
        self.verdict = verdict
        self.until = until  # monotonic; in the past from when it is dropped
        self.used_s = -inf  # monotonic
        self.size_bytes = size_bytes
        # Does a request to which it applies go on as it is?
        self.changes_nothing = verdict._replace(cache_s=0.0, vary=(), any_path=False) == PASS

    def __repr__(self) -> str:
        return f"Kept({self.key!r}, {self.verdict!r})"


class VerdictCache:
    """The cached verdicts of all plugins."""

    def __init__(self, *, entries_max: int = 10_000, bytes_max: int = 16 << 20) -> None:
        self.forgotten = Forgotten()
        self.size_bytes = 0
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._entries: OrderedDict[_Key, Kept] = OrderedDict()
        self._ways: dict[Common, dict[_Way, int]] = {}  # each with its number of entries
        self._by_tag: dict[tuple[str, str], set[_Key]] = {}  # (plugin, tag)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"VerdictCache({len(self)} entries, {self.size_bytes} bytes)"

    def get(self, asked: Asked, now: float) -> Continue | None:
        """The cached verdict for such a request, if it is still valid."""
        kept = self.find(asked, now)
        return None if kept is None else kept.verdict

    def find(self, asked: Asked, now: float) -> Kept | None:
        """The same with what is known about it, for `holds`."""
        ways = self._ways.get(asked.common)
        if ways is None:
            return None
        for way in tuple(ways):
            key = _key(asked, way)
            entry = self._entries.get(key)
            if entry is None:
                continue
            if now < entry.until:
                self._use(entry, now)
                return entry
            self._drop(key)
        return None

    def holds(self, kept: Kept, now: float) -> bool:
        """Is what `find` has returned before still valid? This hashes no key."""
        if now >= kept.until:
            return False
        if now - kept.used_s >= _USED_S:
            self._use(kept, now)
        return True

    def _use(self, kept: Kept, now: float) -> None:
        kept.used_s = now
        self._entries.move_to_end(kept.key)

    def put(
        self,
        asked: Asked,
        verdict: Verdict,
        *,
        asked_at: float,
        now: float,
        wall_s: float,
        saw_body: bool = False,
    ) -> bool:
        """Cache a verdict if that is allowed; returns whether it was cached.

        `asked_at` is when the hook was asked; `wall_s` is the current time since 1970.
        """
        if not isinstance(verdict, Continue) or verdict.cache_s <= 0:
            return False
        if saw_body or verdict.cookies:
            return False
        until = now + verdict.cache_s
        if verdict.until_s is not None:
            until = min(until, now + verdict.until_s - wall_s)
        if until <= now or self.forgotten.since(asked.common.plugin, verdict.tags, asked_at):
            return False
        return self._keep(_key(asked, _Way(verdict.any_path, verdict.vary)), verdict, until)

    def forget(self, plugin: str, tag: str, now: float) -> int:
        """Drop all verdicts of a plugin with a tag, even those on their way; returns how many."""
        self.forgotten.add(plugin, tag, now)
        keys = self._by_tag.get((plugin, tag), ())
        dropped = len(keys)
        for key in tuple(keys):
            self._drop(key)
        return dropped

    def clear(self) -> None:
        """Drop all; those on their way may still be cached."""
        for key in tuple(self._entries):
            self._drop(key)

    def _keep(self, key: _Key, verdict: Continue, until: float) -> bool:
        size_bytes = _size(key, verdict)
        if size_bytes > _ENTRY_MAX_BYTES:
            return False
        if key in self._entries:
            self._drop(key)
        ways = self._ways.get(key.common)
        if ways is not None and key.way not in ways and len(ways) >= WAYS_MAX:
            return False
        self._ways.setdefault(key.common, {}).setdefault(key.way, 0)
        self._ways[key.common][key.way] += 1
        self._entries[key] = Kept(key, verdict, until, size_bytes)
        self.size_bytes += size_bytes
        for tag in verdict.tags:
            self._by_tag.setdefault((key.common.plugin, tag), set()).add(key)
        while len(self._entries) > self._entries_max or self.size_bytes > self._bytes_max:
            self._drop(next(iter(self._entries)))
        return key in self._entries

    def _drop(self, key: _Key) -> None:
        entry = self._entries.pop(key)
        entry.until = -inf
        self.size_bytes -= entry.size_bytes
        ways = self._ways[key.common]
        ways[key.way] -= 1
        if not ways[key.way]:
            del ways[key.way]
            if not ways:
                del self._ways[key.common]
        for tag in entry.verdict.tags:
            of_tag = self._by_tag[key.common.plugin, tag]
            of_tag.discard(key)
            if not of_tag:
                del self._by_tag[key.common.plugin, tag]


def _key(asked: Asked, way: _Way) -> _Key:
    values = values_of(way.vary, asked.fields, asked.client)
    return _Key(asked.common, way, "" if way.any_path else asked.target, values)


def _size(key: _Key, verdict: Continue) -> int:
    """Roughly how much memory an entry takes: its texts and its objects."""
    common = key.common
    texts = [
        *(part for part in common if isinstance(part, str)),
        *(text for pair in common.proxy for text in pair),
        key.target,
        *(text for value in key.values for text in value),
        *(text or "" for pair in verdict.changes for text in pair),
        *verdict.tags,
        identity_key(verdict.identity),
    ]
    return _OVERHEAD_BYTES + sum(map(len, texts)) + 60 * len(texts)
