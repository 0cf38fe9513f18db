"""The audit trail: who changed what, as a chain in which each entry holds the hash of the one
before.

    entry 7 {"action": "plugins.disable", ..., "previous": "3f9a..."}  hash = SHA-256 of its text
    entry 8 {"action": "keys.create", ...,     "previous": that hash}

A change that is not made in one transaction with its entry gets two: one with the result `begun`
before anything is done, and one when it is over, which names the first by its number in `begun` and
has the result `done`, an error, or `unknown` where the process was killed in between.

Walking the chain shows any entry that was changed, removed or inserted. Somebody who can write the
file can recompute the chain, but cannot change a hash of the newest entry that was noted elsewhere
(a collected log has each of them). Only such a note shows that the newest entries were cut off.

Values of secrets, keys and variables never get here: `masked` removes what its callers forgot.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from buntime.core.apps.credentials import is_withheld
from buntime.core.values.digests import sha256
from buntime.core.values.tuples import NamedTuple

MASK = "***"
BEGUN, DONE, UNKNOWN = "begun", "done", "unknown"
TEXT_MAX_CHARS = 500  # a subject, an address or a result
VALUE_MAX_CHARS = 4096  # `before` and `after` each, as JSON
DEPTH_MAX = 20
_ALL_MASKED = frozenset(("env", "environ", "environment", "secrets"))  # all values below these
_MASKED = frozenset(("key", "hash", "value", "pass", "pwd"))  # beside the names of credentials

Entry = dict[str, Any]


class Broken(Exception):
    """The chain is not what was written; the message says where."""


class Change(NamedTuple):
    """A change that somebody made, before it has a place in the chain."""

    at_s: float  # since 1970
    actor: str  # the name of a key, or "local", "socket", "signal"
    source: str  # how the actor got in: key, socket, local, master, signal
    address: str  # the client's address; "" for this machine
    request: str  # the id of the request
    action: str  # "plugins.disable": the route's name, if a route did it
    subject: str  # "shop@1.2.0", the name of a plugin or a key
    app: str | None  # the app it belongs to, for filters
    before: object  # JSON
    after: object
    result: str  # DONE, BEGUN, UNKNOWN, or the code of an error
    begun: int | None = None  # the number of the entry that began it

    @property
    def is_beginning(self) -> bool:
        return self.result == BEGUN


def change_of(entry: Mapping[str, Any]) -> Change:
    """The change that an entry describes."""
    at_s = datetime.fromisoformat(entry["time"]).timestamp()
    fields: dict[str, Any] = {name: entry.get(name) for name in Change._fields}
    return Change(**{**fields, "at_s": at_s})


def entry_of(change: Change, number: int, previous: str) -> Entry:
    """The entry at this place; `previous` is the hash of the entry before, "" for the first.

    Numbers start at 1.
    """
    fields = change._asdict()
    at_s = fields.pop("at_s")
    for name in ("actor", "address", "request", "action", "subject", "result"):
        fields[name] = fields[name][:TEXT_MAX_CHARS]
    fields["before"], fields["after"] = kept_value(change.before), kept_value(change.after)
    if change.begun is None:
        del fields["begun"]
    time = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    time = time.replace("+00:00", "Z")
    return {"number": number, "time": time, **fields, "previous": previous}


def text_of(entry: Mapping[str, Any]) -> str:
    """The text that is hashed and stored: ASCII JSON, keys sorted, without spaces or `hash`."""
    bare = {name: value for name, value in entry.items() if name != "hash"}
    return json.dumps(bare, sort_keys=True, separators=(",", ":"))


def hash_of(text: str) -> str:
    """The hash of an entry, which the next entry contains."""
    return sha256(text.encode("ascii")).hex()


def kept_value(value: object) -> object:
    """`before` or `after` as it is stored: masked, and not too long."""
    value = masked(value)
    text = json.dumps(value, default=repr)
    if len(text) > VALUE_MAX_CHARS:
        return {"cut": text[:TEXT_MAX_CHARS], "chars": len(text)}
    return json.loads(text)  # as readers will get it


def masked(value: object, name: str = "", *, depth: int = 0) -> object:
    """The value without credentials: `{"env": {"A": "x"}, "token": "y"}` -> with MASK for x and y.

    Masks by the names that credentials have, inside `env` and `secrets`, and whatever looks like a
    URL with a password or like one of the runtime's keys.
    """
    if depth > DEPTH_MAX:
        return MASK
    if isinstance(value, Mapping):
        inner = {str(each): part for each, part in value.items()}
        if name.lower() in _ALL_MASKED:
            return dict.fromkeys(inner, MASK)
        return {each: masked(part, each, depth=depth + 1) for each, part in inner.items()}
    if isinstance(value, list | tuple):
        name = "" if name.lower() == "secrets" else name  # a list of secrets holds only their names
        return [masked(part, name, depth=depth + 1) for part in value]
    if isinstance(value, float) and not isfinite(value):
        return repr(value)  # JSON cannot express it
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    is_key = "bt_" in text and len(text) > 40
    return MASK if is_key or name.lower() in _MASKED or is_withheld(name, text) else text


class Walk:
    """Walks the chain from the newest entry to the oldest, and finds where it is broken."""

    def __init__(self) -> None:
        self.count = 0
        self.newest: tuple[int, str] | None = None  # (number, hash)
        self._number = 0
        self._expected = ""  # the hash that the next entry must have

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take the next entry, as the API returns it. Raises Broken."""
        number, stated = entry.get("number"), entry.get("hash")
        found = hash_of(text_of(entry))
        if not isinstance(number, int) or not isinstance(entry.get("previous"), str):
            raise Broken("an entry lacks its number or the hash of the entry before it")
        if found != stated:
            raise Broken(
                f"entry {number} was changed: its hash is {found}, but {stated} is recorded"
            )
        if self.newest is None:
            self.newest = (number, found)
        elif number != self._number - 1:
            raise Broken(f"after entry {number} comes entry {self._number}")
        elif found != self._expected:
            raise Broken(f"entry {number} is not the one that entry {self._number} was added after")
        self.count += 1
        self._number, self._expected = number, entry["previous"]

    def end(self, removed: Mapping[str, Any] | None) -> None:
        """Finish after the oldest entry; `removed` is the last of the entries whose time was up.

        Raises Broken where entries between the two are missing.
        """
        number = removed["number"] if removed else 0
        last_hash = removed["hash"] if removed else ""
        if self.newest is None:
            if removed:
                raise Broken(f"there is no entry after {number}, the last one removed for its age")
        elif self._number != number + 1 or self._expected != last_hash:
            raise Broken(f"before entry {self._number} comes entry {number}, or another one")
