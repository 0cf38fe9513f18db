"""What operators see of secrets, and do to them. A value leaves this process only for its app."""

import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from buntime.core.apps.app import App
from buntime.core.apps.grants import (
    PREVIEW,
    VALUE_MAX_BYTES,
    holder_of,
    parse_name,
    parse_value,
)
from buntime.core.errors import ClientFault, HttpError
from buntime.core.plugins.plan import owner_of
from buntime.core.values.units import BadValue
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.admin.missing import meant
from buntime.server.apps.catalog import Catalog
from buntime.server.plugins.plugins import Plugins
from buntime.server.state.secretfiles import secret_json
from buntime.server.state.secretstore import SecretStore

# JSON may take six bytes for one.
_BODY_MAX_BYTES = 6 * VALUE_MAX_BYTES + 1024


class SecretPages:
    """Serves these pages."""

    def __init__(
        self, secrets: SecretStore, catalog: Catalog, plugins: Plugins, audit: Audit
    ) -> None:
        self._secrets = secrets
        self._catalog = catalog
        self._plugins = plugins
        self._audit = audit
        self._mark = os.urandom(32)

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        acts = {
            "secrets": self._list,
            "secret": self._show,
            "secrets.set": self._set,
            "secrets.remove": self._remove,
        }
        return {f"{kind}.{name}": act for kind in ("apps", "plugins") for name, act in acts.items()}

    def _list(self, call: Call) -> None:
        holder = _holder(call)
        used = self._used(call, holder)
        stored = self._secrets.found.get(holder, {})
        page, following = call.page(stored)
        call.tagged(
            {
                "holder": holder,
                "secrets": [
                    {**secret_json(name, stored[name]), "isUsed": name in (used or ())}
                    for name in page
                ],
                "missing": sorted((used or set()) - stored.keys()),
                "next": following,
            },
            of=[self._state(holder, name) for name in sorted(stored)],
        )

    def _show(self, call: Call) -> None:
        holder, name = _holder(call), _name(call)
        used, stored = self._used(call, holder), self._secrets.found.get(holder, {})
        if name not in stored:
            raise _not_there(holder, name, stored)
        secret = {**secret_json(name, stored[name]), "isUsed": name in (used or ())}
        call.tagged(secret, of=self._state(holder, name))

    def _state(self, holder: str, name: str) -> list[str] | None:
        """What its ETag is made of; None if the secret does not exist.

        Hashed with a key of this process, so that nobody can use it to guess the value.
        """
        stored = self._secrets.found.get(holder, {}).get(name)
        if stored is None:
            return None
        text = "\0".join((holder, name, stored.origin, repr(stored.set_s), stored.value))
        return [name, blake2b(text.encode(), key=self._mark, digest_size=16).hexdigest()]

    def _set(self, call: Call) -> None:
        name = _name(call)
        call.json(lambda value: self._set_to(call, name, _value(value)), _BODY_MAX_BYTES)

    def _set_to(self, call: Call, name: str, value: str) -> None:
        holder = _holder(call)
        self._secrets.check_changeable(holder, name)
        call.check_match(self._state(holder, name))
        was_there = self._is_there(holder, name)
        if call.is_dry_run:
            call.answer(self._done(call, holder, name, replaced=was_there))
            return

        def done(begun: Begun, result: bool | HttpError) -> None:
            replaced = _checked(result)
            begun.end({"isSet": True}, before={"isSet": replaced})
            call.answer(self._done(call, holder, name, replaced=replaced))

        def act(begun: Begun) -> None:
            self._secrets.set(
                holder,
                name,
                value,
                lambda result: call.guard(lambda: begun.run(lambda: done(begun, result))),
                check=lambda: call.check_match(self._state(holder, name)),
            )

        before = {"isSet": was_there}
        self._audit.begin(call, f"{holder} {name}", before, {"isSet": True}, then=act)

    def _is_there(self, holder: str, name: str) -> bool:
        return name in self._secrets.found.get(holder, {})

    def _remove(self, call: Call) -> None:
        holder, name = _holder(call), _name(call)
        self._secrets.check_changeable(holder, name)
        stored = self._secrets.found.get(holder, {})
        if name not in stored:
            raise _not_there(holder, name, stored)
        call.check_match(self._state(holder, name))
        if call.is_dry_run:
            call.answer(self._done(call, holder, name))
            return

        def done(begun: Begun, result: bool | HttpError) -> None:
            _checked(result)
            begun.end({"isSet": False})
            call.answer(self._done(call, holder, name))

        def act(begun: Begun) -> None:
            self._secrets.remove(
                holder,
                name,
                lambda result: call.guard(lambda: begun.run(lambda: done(begun, result))),
                check=lambda: call.check_match(self._state(holder, name)),
            )

        before = {"isSet": True}
        self._audit.begin(call, f"{holder} {name}", before, {"isSet": False}, then=act)

    def _done(self, call: Call, holder: str, name: str, **more: object) -> dict[str, object]:
        used = self._used(call, holder)
        known = {"isKnown": used is not None, "isUsed": name in (used or ())}
        return {"holder": holder, "name": name, **more, **known}

    def _used(self, call: Call, holder: str) -> set[str] | None:
        """The secrets that manifests of the holder name; None if there is no such manifest."""
        if "plugin" in call.values:
            found = self._plugins.roster.found.get(call.values["plugin"])
            if found is None:
                return None
            return {*found.manifest.app.secrets} if found.manifest is not None else set()
        versions = self._catalog.all_of(call.values["app"], call.now)
        apps = [app for app in versions if holder_of(app.name, app.version) == holder]
        named = [app.manifest.secrets for app in apps if isinstance(app, App)]
        return {name for each in named for name in each} if apps else None


def _holder(call: Call) -> str:
    if "plugin" in call.values:
        return owner_of(call.values["plugin"])
    return call.values["app"] + (PREVIEW if call.query["preview"] else "")


def _name(call: Call) -> str:
    try:
        return parse_name(call.values["name"])
    except BadValue as exc:
        raise ClientFault(400, "bad_name", str(exc)) from None


def _value(body: dict[str, Any]) -> str:
    """The value; error messages quote none of it. Raises ClientFault."""
    value = body["value"]
    if not isinstance(value, str):
        raise ClientFault(400, "bad_value", "the value is not text")
    try:
        return parse_value(value.encode("utf-8"))
    except BadValue as exc:
        raise ClientFault(400, "bad_value", str(exc)) from None


def _not_there(holder: str, name: str, stored: Iterable[str]) -> ClientFault:
    text = f"{holder} has no secret {name}{meant(name, stored)}"
    return ClientFault(404, "secret_not_found", text)


def _checked(result: bool | HttpError) -> bool:
    if isinstance(result, HttpError):
        raise result
    return result
