"""Reads the file of operators' keys, RUNTIME_KEYS_FILE, with line numbers.

    - name: laptop
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      roles: [admin]
    - {name: forge, sha256: ..., roles: [deployer], apps: ["blog-*"], expires: 2027-01-31T12:00:00Z}

A key without `apps` is for all of them. All faults are reported, not just the first; where there is
one, no key in the file is accepted.
"""

import re
from collections.abc import Mapping
from typing import Any

from buntime.core.access.keyring import IN_FILE, KEYS_MAX, KeyRecord
from buntime.core.access.rights import EVERY_APP, GLOB_MAX_CHARS, ROLES, VERBS
from buntime.core.apps.document import DocumentError, read_items
from buntime.core.apps.floors import check_glob
from buntime.core.errors import ConfigError
from buntime.core.values.moments import parse_moment
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, suggestion, unknown_key

SIZE_MAX_BYTES = 1 << 20
KEYS = ("name", "sha256", "roles", "apps", "expires")
_NEEDED = KEYS[:3]
_GLOBS_MAX = 50
_NAME = regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DIGEST = regex(r"[0-9A-Fa-f]{64}", re.ASCII)
_HINT = "bt_..."  # how every key begins; the file has no more of it


def parse_keys(data: bytes, path: str, *, now: float) -> tuple[KeyRecord, ...]:
    """The keys in the file at `path`. Raises ConfigError with all of its faults.

    `now` becomes their creation time, since the file has none: seconds since 1970.
    """
    try:
        entries = read_items(data, size_max_bytes=SIZE_MAX_BYTES)
    except DocumentError as exc:
        place = f"{path}:{exc.line}" if exc.line else path
        raise ConfigError([f"{place}: {exc}"]) from None
    if len(entries) > KEYS_MAX:
        raise ConfigError([f"{path}: {len(entries)} keys are too many; {KEYS_MAX} are allowed"])
    faults: list[str] = []
    records: list[KeyRecord] = []
    lines: dict[object, int] = {}
    for entry in entries:
        try:
            record = _record(entry.value, now)
            _check_single(record, lines, entry.line)
            records.append(record)
        except BadValue as exc:
            faults.append(f"{path}:{entry.line}: {exc}")
    if faults:
        raise ConfigError(faults)
    return tuple(records)


def _check_single(record: KeyRecord, lines: dict[object, int], line: int) -> None:
    for what, value in (("name", record.name), ("sha256", record.digest)):
        if value in lines:
            raise BadValue(f"{what}: the key on line {lines[value]} has the same; change one")
    lines |= {record.name: line, record.digest: line}


def _record(value: object, now: float) -> KeyRecord:
    if not isinstance(value, dict):
        raise BadValue("this is not a key; write {name: ..., sha256: ..., roles: [...]}")
    for key in value:
        if key not in KEYS:
            raise BadValue(unknown_key(key, KEYS))
    given: Mapping[str, Any] = {key: each.value for key, each in value.items()}
    for key in _NEEDED:
        if given.get(key) is None:
            raise BadValue(f"{key} is missing; a key has {', '.join(_NEEDED)}")
    return KeyRecord(
        name=_text(given, "name", _NAME, "write letters, digits, and . _ - after the first"),
        digest=bytes.fromhex(
            _text(given, "sha256", _DIGEST, "write the 64 hexadecimal digits of the key's SHA-256")
        ),
        hint=_HINT,
        roles=_roles(_list(given, "roles")),
        globs=_globs(given),
        created_at=now,
        created_by=IN_FILE,
        expires_at=_moment(given.get("expires")),
        origin=IN_FILE,
    )


def _text(given: Mapping[str, Any], key: str, form: "re.Pattern[str]", advice: str) -> str:
    value = given[key]
    if not isinstance(value, str) or not form.fullmatch(value):
        what = "it does not look like one" if key == "sha256" else shown(value)  # a key, by mistake
        raise BadValue(f"{key}: {what}; {advice}")
    return value


def _list(given: Mapping[str, Any], key: str) -> list[object]:
    value = given[key]
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise BadValue(f"{key}: write a list with at least one entry")
    return items


def _roles(items: list[object]) -> tuple[str, ...]:
    known = (*ROLES, *VERBS)
    for item in items:
        if item not in known:
            meant = suggestion(item, known) if isinstance(item, str) else ""
            roles = ", ".join(ROLES)
            raise BadValue(
                f"roles: there is no {shown(item)}{meant}; write one of {roles}, or rights"
            )
    return tuple(dict.fromkeys(map(str, items)))


def _globs(given: Mapping[str, Any]) -> tuple[str, ...]:
    if given.get("apps") is None:
        return (EVERY_APP,)
    items = _list(given, "apps")
    if len(items) > _GLOBS_MAX:
        raise BadValue(f"apps: {len(items)} are too many; write {_GLOBS_MAX} at most")
    for item in items:
        if not isinstance(item, str) or len(item) > GLOB_MAX_CHARS:
            raise BadValue(f'apps: {shown(item)} is not an app; write one like shop or "blog-*"')
        try:
            check_glob(item)
        except BadValue as exc:
            raise BadValue(f"apps: {exc}") from None
    return tuple(dict.fromkeys(map(str, items)))


def _moment(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadValue("expires: write a moment")
    try:
        return parse_moment(value)
    except BadValue as exc:
        raise BadValue(f"expires: {exc}") from None
