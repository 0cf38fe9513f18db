"""The scripts through which pages and the shell talk, and access for pages to plugins' code."""

import os
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pkgutil import get_data
from time import time
from typing import Any

from buntime.core.access.frametokens import (
    RANDOM_BYTES,
    TICKET_S,
    TOKEN_S,
    Grant,
    with_ticket,
)
from buntime.core.access.paths import plain_path
from buntime.core.errors import ClientFault
from buntime.core.plugins.plan import owner_of
from buntime.core.sites.conditions import Validators, Verdict, judge
from buntime.core.values.moments import iso_moment
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.admin.gate import Gate
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.sites import PluginSite

SCRIPTS = ("frame.js", "bt-frame.js", "bt-talk.js", "frame.d.ts", "bt-frame.d.ts")

_TYPES = {".js": "text/javascript; charset=utf-8", ".ts": "text/plain; charset=utf-8"}
_TARGET = re.compile(r"/[!-\"$-~]*")  # no fragment


class FramePages:
    """Serves these pages."""

    def __init__(self, plugins: Plugins, gate: Gate) -> None:
        self._plugins = plugins
        self._gate = gate
        self._scripts: dict[str, bytes] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "frames.script": self._script,
            "frames.token": lambda call: call.json(lambda body: self._token(call, body)),
            "frames.url": lambda call: call.json(lambda body: self._url(call, body)),
        }

    def _script(self, call: Call) -> None:
        """Answer with one script; open to all origins, as a page in a sandbox has none."""
        name = call.values["script"]
        if name not in SCRIPTS:
            raise ClientFault(404, "not_found", f"there is no {call.exchange.head.path[:200]}")
        data = self._scripts.get(name) or self._read(name)
        tag = f'"{blake2b(data, digest_size=12).hexdigest()}"'
        fields = [
            ("content-type", _TYPES[name[-3:]]),
            ("cache-control", "no-cache"),  # cached, and revalidated by its ETag
            ("etag", tag),
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("x-content-type-options", "nosniff"),
        ]
        conditions = {each: value for each in ("if-none-match",) if (value := call.header(each))}
        if judge(conditions, Validators(tag, None, "")) is Verdict.NOT_MODIFIED:
            call.respond(304, fields)
        else:
            call.respond(200, fields, data)

    def _token(self, call: Call, body: Mapping[str, Any]) -> None:
        site = self._site(call, body["plugin"])
        self._answer(call, site, TOKEN_S, lambda token: {"token": token})

    def _url(self, call: Call, body: Mapping[str, Any]) -> None:
        site, path = self._site(call, body["plugin"]), body["path"]
        base = site.app.base if site.app is not None else ""
        if not _TARGET.fullmatch(path) or plain_path(path.partition("?")[0]) is None:
            raise ClientFault(400, "bad_path", "write a path below the plugin's base, /api/x?y=1")
        target, prefix = base + path, call.exchange.sender.prefix

        def body_of(ticket: str) -> dict[str, object]:
            return {"url": prefix + with_ticket(target, ticket)}

        self._answer(call, site, TICKET_S, body_of, target)

    def _site(self, call: Call, plugin: str) -> PluginSite:
        """The plugin whose code is to be opened. Raises ClientFault (403, 404)."""
        owner = owner_of(plugin)
        if not call.may(call.route.verb, owner):
            raise ClientFault(
                403, "not_allowed", f"{call.caller.name} may not open the plugin {plugin}"
            )
        site = self._plugins.at_base(owner)
        if site is None or site.page is None or site.app is None:
            raise ClientFault(
                404, "plugin_not_found", f"no plugin {plugin} serves a page and has code behind it"
            )
        return site

    def _answer(
        self,
        call: Call,
        site: PluginSite,
        seconds: float,
        body_of: Callable[[str], dict[str, object]],
        target: str | None = None,
    ) -> None:
        caller, now = call.caller, call.now
        standing = self._gate.standing(call.exchange, caller)
        grant = Grant(owner_of(site.name), caller.name, standing, now + seconds, target)
        text = self._gate.frames.give(grant, os.urandom(RANDOM_BYTES), now)
        ends = {"seconds": int(seconds), "expiresAt": iso_moment(time() + seconds)}
        call.answer({**body_of(text), **ends})

    def _read(self, name: str) -> bytes:
        """Read it from the folder, or from the archive that the runtime runs in."""
        data = get_data("buntime", f"frames/{name}")
        if data is None:
            raise AssertionError(f"{name} is not in the package")
        self._scripts[name] = data
        return data
