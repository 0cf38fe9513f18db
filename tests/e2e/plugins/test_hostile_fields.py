"""What plugins add to a request never makes a line that a worker cannot read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, read_all, write_app
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin

# Each copies a field of the request, as a plugin does that normalizes one.
COPYING = """
from buntime.plugin import Continue

def on_request(request):
    if "x-long" in request.headers:
        return Continue(headers={"x-copy-NAME": request.headers["x-long"]})
"""
APP = """
import os
from buntime import Response

def fetch(request):
    sizes = [len(request.headers.get(f"x-{name}", "")) for name in ("long", "copy-a", "copy-c")]
    return Response.json([os.getpid(), *sizes])
"""
NAMES = "abc"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("fields")
    for name in NAMES:
        write_plugin(folder / "plugins", name, COPYING.replace("NAME", name))
    write_app(folder / "apps" / "says", {"app.py": APP}, ttl=600)
    with plugged(folder, RUNTIME_SHUTDOWN_TIMEOUT="1") as started:
        for name in NAMES:
            wait_for_state(started, name, "serving")
        yield started


def ask(runtime: Runtime, chars: int) -> bytes:
    """Send a field of so many characters, each of which takes six in JSON."""
    head = b"GET /says/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Long: %s\r\n\r\n"
    with runtime.connect() as sock:
        sock.sendall(head % (b"\xe9" * chars))
        return read_all(sock)


def test_fields_that_plugins_copy(runtime: Runtime) -> None:
    """The plugin that would make the request too long fails; nobody's process ends."""
    before = fetch(runtime, "/says/").json()[0]
    answer = ask(runtime, 65_000)
    assert answer.startswith(b"HTTP/1.1 502 ")
    failed = runtime.wait_for_record("plugin.hook_failed")
    assert "more than 128 KiB" in failed["error"]
    assert fetch(runtime, "/says/").json() == [before, 0, 0, 0]
    events = {each["event"] for each in runtime.records}
    assert not events & {"plugin.died", "worker.died", "runtime.internal_error"}
