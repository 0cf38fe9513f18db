"""The scripts by which pages and the shell talk: frame.js, bt-frame.js, and their types."""

from collections.abc import Mapping
from hashlib import blake2b
from pkgutil import get_data

from buntime.core.errors import ClientFault
from buntime.core.sites.conditions import Validators, Verdict, judge
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call

SCRIPTS = ("frame.js", "bt-frame.js", "bt-talk.js", "frame.d.ts", "bt-frame.d.ts")

_TYPES = {".js": "text/javascript; charset=utf-8", ".ts": "text/plain; charset=utf-8"}


class FramePages:
    """Answers these pages."""

    def __init__(self) -> None:
        self._scripts: dict[str, bytes] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of routes."""
        return {"frames.script": self._script}

    def _script(self, call: Call) -> None:
        """One of them; a page in a sandbox has no origin, so it is for all."""
        name = call.values["script"]
        if name not in SCRIPTS:
            raise ClientFault(404, "not_found", f"there is no {call.exchange.head.path[:200]}")
        data = self._scripts.get(name) or self._read(name)
        tag = f'"{blake2b(data, digest_size=12).hexdigest()}"'
        fields = [
            ("content-type", _TYPES[name[-3:]]),
            ("cache-control", "no-cache"),  # kept, and asked for again by its tag
            ("etag", tag),
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("x-content-type-options", "nosniff"),
        ]
        asked = {each: value for each in ("if-none-match",) if (value := call.header(each))}
        if judge(asked, Validators(tag, None, "")) is Verdict.NOT_MODIFIED:
            call.respond(304, fields)
        else:
            call.respond(200, fields, data)

    def _read(self, name: str) -> bytes:
        """From the folder, or from the archive that the runtime runs in."""
        data = get_data("buntime", f"frames/{name}")
        if data is None:
            raise AssertionError(f"{name} does not come along")
        self._scripts[name] = data
        return data
