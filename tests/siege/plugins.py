"""Plugins of a siege, and the app that calls their service without end."""

from __future__ import annotations

from pathlib import Path

from tests.support.harness import write_app
from tests.support.pluginfolders import write_plugin

_STORE = """
import time
from buntime.plugin import exposed

class Store:
    @exposed
    def size(self, data):
        return len(data)

    @exposed
    def keep(self, data):
        time.sleep(3)

    @exposed
    def items(self):
        while True:
            yield b"x" * 50_000

services = {"kv": Store()}
"""
_SLOW = "import time\ndef on_request(request):\n    time.sleep(1)\n"
_FLOOD = """
import threading
from buntime import Response, ServiceError, service

kv = service("kv")
DATA = bytes(50_000)

def flood(call):
    while True:
        try:
            call()
        except ServiceError:
            pass

def fetch(request):
    calls = {"calls": lambda: kv.size(DATA), "held": lambda: kv.keep(DATA),
             "items": lambda: [None for _ in kv.items()]}
    for _ in range(70):
        call = calls[request.path.strip("/")]
        threading.Thread(target=flood, args=[call], daemon=True).start()
    return Response("done")
"""


def write_plugins(folder: Path, apps: Path) -> dict[str, str]:
    """Write the plugins, and the app in `apps` that floods them; returns the runtime's
    variables."""
    write_plugin(folder / "plugins", "store", _STORE, provides={"kv": {"to": "all"}})
    write_plugin(folder / "plugins", "slow", _SLOW, match={"apps": ["hostile"]})
    write_app(apps / "floods", {"app.py": _FLOOD}, ttl=3600, uses=["kv"])
    dirs = {"plugins": "RUNTIME_PLUGIN_DIRS", "state": "RUNTIME_STATE_DIR"}
    return {variable: str(folder / name) for name, variable in dirs.items()}
