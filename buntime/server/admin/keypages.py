"""What operators see of keys, and do to them: only keys no stronger than their own."""

import secrets
from collections.abc import Mapping
from typing import Any

from buntime.core.access.keyring import KeyRecord, excess, outlives
from buntime.core.access.keytext import HINT_CHARS, RANDOM_BYTES, digest_of, make_key
from buntime.core.access.rights import EVERY_APP
from buntime.core.errors import ClientFault
from buntime.core.values.moments import MOMENT_FORM, iso_moment, parse_moment
from buntime.core.values.units import BadValue, parse_duration
from buntime.core.values.wording import shown
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit, Note
from buntime.server.admin.call import Call
from buntime.server.admin.keystore import KeyStore
from buntime.server.admin.missing import missing_key

_LATEST = 253_402_300_799.0  # the end of 9999, the last date that can be written


class KeyPages:
    """Serves these pages."""

    def __init__(self, store: KeyStore, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        by_route = {
            "keys.list": self._list,
            "keys.show": self._show,
            "keys.add": self._add,
            "keys.revoke": self._revoke,
        }
        return {name: self._once_known(handler) for name, handler in by_route.items()}

    def _once_known(self, handler: Handler) -> Handler:
        """The handler, made to wait until the keys are known."""

        def go_on(call: Call, fault: BaseException | None) -> None:
            if fault is not None:
                raise fault
            handler(call)

        return lambda call: self._store.know(lambda fault: call.guard(lambda: go_on(call, fault)))

    def _list(self, call: Call) -> None:
        now = self._store.clock()
        by_name = self._store.ring.by_name
        page, following = call.page(
            name for name, record in by_name.items() if not excess(record, call.caller)
        )
        keys = [key_json(by_name[name], now) for name in page]
        call.answer({"keys": keys, "next": following})

    def _show(self, call: Call) -> None:
        answer = key_json(self._find(call), self._store.clock())
        call.tagged(answer, of=_lasting(answer))

    def _add(self, call: Call) -> None:
        call.json(lambda value: self._make(call, value))

    def _make(self, call: Call, wanted: dict[str, Any]) -> None:
        now = self._store.clock()
        key = make_key(secrets.token_bytes(RANDOM_BYTES))
        record = KeyRecord(
            name=wanted["name"],
            digest=digest_of(key),
            hint=key[:HINT_CHARS],
            roles=tuple(dict.fromkeys(wanted["roles"])),
            globs=tuple(dict.fromkeys(wanted.get("apps") or [EVERY_APP])),
            created_at=now,
            created_by=call.by,
            expires_at=_expiry(wanted.get("expires"), now),
        )
        _check_strength(record, call)
        self._store.check_changeable(record.name)
        if call.is_dry_run:
            before = self._store.ring.by_name.get(record.name)
            if before is not None and before.revoked_at is None:
                raise ClientFault(409, "key_exists", f"there is already a key {record.name}")
            call.answer({**key_json(record, now), "hint": "bt_", "key": None})
            return
        answer = key_json(record, now)
        note = self._audit.note_of(call, call.route.name, record.name, after=answer)

        def made(fault: BaseException | None) -> None:
            if fault is None:
                note.tell()
            call.done(fault, {**answer, "key": key}, 201)

        self._store.add(record, note.keep, made)

    def _revoke(self, call: Call) -> None:
        record = self._find(call)
        self._store.check_changeable(record.name)
        call.check_match(_lasting(key_json(record, self._store.clock())))
        if call.is_dry_run or record.revoked_at is not None:
            call.answer(key_json(record, self._store.clock()))
            return
        before, after = key_json(record, self._store.clock()), {"standing": "revoked"}
        note = self._audit.note_of(call, call.route.name, record.name, before, after)
        self._store.revoke(
            record.name,
            note.keep,
            lambda fault: call.guard(lambda: self._revoked(call, note, fault)),
        )

    def _revoked(self, call: Call, note: Note, fault: BaseException | None) -> None:
        if fault is not None:
            raise fault
        note.tell()
        self._show(call)

    def _find(self, call: Call) -> KeyRecord:
        name = call.values["name"]
        record = self._store.ring.by_name.get(name)
        if record is None:
            raise missing_key(call, self._store.ring.by_name.values(), name)
        more = excess(record, call.caller)
        if more:
            raise _stronger(f"the key {record.name} has {more}")
        return record


def key_json(record: KeyRecord, now: float) -> dict[str, object]:
    """A key as operators see it."""
    return {
        "name": record.name,
        "hint": record.hint,
        "roles": list(record.roles),
        "apps": list(record.globs),
        "origin": record.origin,
        "standing": record.standing(now),
        "created": iso_moment(record.created_at),
        "createdBy": record.created_by,
        "expires": _moment(record.expires_at),
        "lastUsed": _moment(record.used_at),
        "revoked": _moment(record.revoked_at),
    }


def _lasting(key: dict[str, object]) -> dict[str, object]:
    """The parts of a key that using it does not change."""
    return {name: value for name, value in key.items() if name != "lastUsed"}


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else iso_moment(seconds)


def _expiry(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    try:
        moment = parse_moment(text) if "-" in text[1:] else now + parse_duration(text)
    except BadValue:
        raise ClientFault(
            400,
            "bad_body",
            f'expires: {shown(text)} is neither a moment, as {MOMENT_FORM}, nor a time, as "90d"',
        ) from None
    if not now < moment <= _LATEST:
        raise ClientFault(
            400, "bad_body", f"expires: {shown(text)} is in the past, or too far ahead"
        )
    return moment


def _check_strength(record: KeyRecord, call: Call) -> None:
    more = excess(record, call.caller)
    if more:
        raise _stronger(f"it would have {more}")
    if outlives(record, call.caller):
        until = iso_moment(call.caller.expires_at or 0.0)
        raise _stronger(f"it would outlive the key {call.caller.name}, which expires at {until}")


def _stronger(why: str) -> ClientFault:
    return ClientFault(403, "key_too_strong", f"a key cannot manage a stronger one: {why}")
