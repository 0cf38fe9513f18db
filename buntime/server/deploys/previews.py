"""The existing previews: what opens each, and until when. Used on the loop's thread."""

import time
from collections.abc import Callable, Iterable

from buntime.core.apps.app import app_key
from buntime.core.deploys.preview import hash_of
from buntime.core.values.digests import are_equal
from buntime.core.values.tuples import NamedTuple
from buntime.server.deploys.records import ReleaseRecord


class Preview(NamedTuple):
    """One preview; `hashes` of tokens, `expires_s` in seconds since 1970."""

    hashes: tuple[str, ...]
    expires_s: float


class Previews:
    """Previews by the keys of their apps: "shop@0.0.0-preview.pr-12"."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: dict[str, Preview] = {}

    def __repr__(self) -> str:
        return f"Previews({', '.join(self._known) or 'none'})"

    def put(self, record: ReleaseRecord) -> None:
        """Add the preview."""
        hashes = tuple(record.token.split())
        self._known[app_key(record.app, record.version)] = Preview(hashes, record.expires_s)

    def take(self, records: Iterable[ReleaseRecord]) -> None:
        """Replace all previews by these."""
        self._known.clear()
        for record in records:
            self.put(record)

    def take_expired(self) -> list[tuple[str, str]]:
        """Remove the previews that have expired, and return them as app and version."""
        now_s = self._clock()
        over = [key for key, known in self._known.items() if known.expires_s <= now_s]
        for key in over:
            del self._known[key]
        return [(app, version) for app, _, version in (key.rpartition("@") for key in over)]

    def opens(self, key: str, token: str) -> bool:
        """Whether the token opens this preview now."""
        known = self._known.get(key)
        if known is None or self._clock() >= known.expires_s:
            return False
        digest = hash_of(token)
        return any(are_equal(digest, each) for each in known.hashes)

    def next_s(self) -> float | None:
        """Seconds until the first one expires."""
        ends = [each.expires_s for each in self._known.values()]
        return max(0.0, min(ends) - self._clock()) if ends else None
