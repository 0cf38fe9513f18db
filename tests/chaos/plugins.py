"""Plugins between clients and apps, reloaded, edited and killed while requests come.

tag     on_request and on_response of GETs: each answer of some apps has `x-tag`
guard   nobody gets to /guarded of an app: 401 whatever happens to it, or 503 while it is away
store   a service without overlap; one app passes on its answers
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.chaos.apps import COMMON, replace

TAGGED = ("sync", "wsgi", "once", "asgi")
CALLS = "calls"  # the app that calls the service
GUARDED = "/guarded"

_TAG = """
from buntime.plugin import Continue
def on_request(request): return Continue(headers={"x-asked": "yes"})
def on_response(request, response): response.headers["x-tag"] = "GENERATION"
"""
_GUARD = """
from buntime.plugin import Response
def on_request(request): return Response("not here, GENERATION", status=401)
"""
_STORE = """
import hashlib
from buntime.plugin import exposed
class Store:
    @exposed
    def payload(self, seed, size):
        return hashlib.shake_128(seed.encode()).digest(size)
services = {"store": Store()}
WHICH = "GENERATION"
"""
# If a killed store gives no answer, the client asks again, as for a store killed earlier.
CALLER = (
    COMMON
    + """
from buntime import Response, service
from buntime.plugin import ServiceError

store = service("store", timeout_s=20)

def fetch(request):
    _, kind, name, size = request.path.split("/")
    try:
        body = store.payload(f"{NAME}:{name}", int(size))
    except ServiceError as exc:
        if exc.code != "away":
            raise
        error = {"error": {"code": "store_away"}}
        return Response.json(error, status=503, headers={"retry-after": "1"})
    return Response(body, headers=HEADERS)
"""
)
_SLOW = "30s"  # a plugin's process may be stopped for a while
PLUGINS: dict[str, tuple[str, dict[str, object]]] = {
    "tag": (_TAG, {"match": {"apps": list(TAGGED), "methods": ["GET"]}, "hookTimeout": _SLOW}),
    "guard": (
        _GUARD,
        {"stage": "access", "match": {"paths": [f"{GUARDED}/**"]}, "hookTimeout": _SLOW},
    ),
    "store": (_STORE, {"overlap": False, "provides": {"store": {"to": [f"app:{CALLS}"]}}}),
}


class Plugins:
    """Writes the plugins, and edits them in place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._generation = 0
        for name, (_, manifest) in PLUGINS.items():
            (folder / name).mkdir(parents=True)
            text = json.dumps({"name": name, **manifest})
            (folder / name / "buntime.yaml").write_text(text)
            self.edit(name)

    def edit(self, name: str) -> None:
        """Write other code that does the same."""
        self._generation += 1
        source = PLUGINS[name][0].replace("GENERATION", str(self._generation))
        replace(self.folder / name / "plugin.py", source.encode())
