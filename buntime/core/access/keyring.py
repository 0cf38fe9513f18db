"""Operators' keys: what each may do, whether it is still valid, and which one a request bears.

Times are seconds since 1970: keys expire by the calendar, even while the runtime is not running.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from buntime.core.access.keys import offered_keys
from buntime.core.access.keytext import START, digest_of, is_key
from buntime.core.access.rights import ROLES, VERBS, Caller, covers, verbs_of
from buntime.core.values.frozen import frozen

KEYS_MAX = 1000  # including revoked ones

Standing = Literal["active", "expired", "revoked"]
IN_STATE, IN_FILE = "state", "RUNTIME_KEYS_FILE"


@frozen()
class KeyRecord:
    """A key without its text."""

    name: str
    digest: bytes
    hint: str  # how the key begins: "bt_0Ao2"
    roles: tuple[str, ...]  # names from rights.ROLES, and single verbs
    globs: tuple[str, ...]
    created_at: float
    created_by: str
    expires_at: float | None = None
    used_at: float | None = None
    revoked_at: float | None = None
    origin: str = IN_STATE  # a key from IN_FILE can be changed only there

    def __repr__(self) -> str:
        return f"KeyRecord({self.name!r}, {self.hint}..., {self.roles}, {self.globs})"

    @property
    def caller(self) -> Caller:
        """The caller who bears this key. Unknown roles, from a newer version, grant nothing."""
        verbs = verbs_of(role for role in self.roles if role in ROLES or role in VERBS)
        return Caller(self.name, "key", verbs, self.globs, self.expires_at)

    def standing(self, now: float) -> Standing:
        """Whether the key is valid at this moment."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class KeyRing:
    """All keys, in memory; the server saves what changes."""

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self._by_digest: dict[bytes, KeyRecord] = {}
        self._callers: dict[bytes, Caller] = {}
        self.by_name: dict[str, KeyRecord] = {}
        for record in records:
            self.put(record)

    def __repr__(self) -> str:
        return f"KeyRing({len(self.by_name)} keys)"

    def __len__(self) -> int:
        return len(self.by_name)

    def put(self, record: KeyRecord) -> None:
        """Add a key, replacing any other of the same name."""
        before = self.by_name.get(record.name)
        if before is not None:
            del self._by_digest[before.digest], self._callers[before.digest]
        self.by_name[record.name] = record
        self._by_digest[record.digest] = record
        self._callers[record.digest] = record.caller

    def revoke(self, name: str, now: float) -> None:
        """Make a key invalid. It is remembered, so that it is recognized when somebody sends it."""
        record = self.by_name.get(name)
        if record is not None and record.revoked_at is None:
            self.put(replace(record, revoked_at=now))

    def use(self, name: str, now: float) -> None:
        """Note that the key was used."""
        self.put(replace(self.by_name[name], used_at=now))

    def find(self, headers: Iterable[tuple[str, str]]) -> KeyRecord | None:
        """The first known key that a request bears, whatever its standing."""
        for text in offered_keys(headers):
            if is_key(text):
                record = self._by_digest.get(digest_of(text))
                if record is not None:
                    return record
        return None

    def caller_of(self, record: KeyRecord) -> Caller:
        return self._callers[record.digest]


def bears_form(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request bears anything that looks like a key of a keyring."""
    return any(is_key(text) for text in offered_keys(headers) if text.startswith(START))


def excess(record: KeyRecord, caller: Caller) -> str:
    """What a key may do that the caller may not, for a message; "" where there is nothing.

    This keeps a key from creating, or revoking, one that is stronger than itself.
    """
    more = sorted(record.caller.verbs - caller.verbs)
    if more:
        return f"the right{'s' if len(more) > 1 else ''} {', '.join(more)}"
    wider = [glob for glob in record.globs if not any(covers(own, glob) for own in caller.globs)]
    return f"the apps {', '.join(wider)}" if wider else ""


def outlives(record: KeyRecord, caller: Caller) -> bool:
    """Whether a key is valid for longer than the key of the caller who creates it."""
    if caller.expires_at is None:
        return False
    return record.expires_at is None or record.expires_at > caller.expires_at
