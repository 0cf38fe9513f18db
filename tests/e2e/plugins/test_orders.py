"""Many plugins together: whose hooks come first, and which go on when others fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, write_app
from tests.support.pluginfolders import lines, plugged, wait_for_state, write_plugin
from tests.support.rawclient import client_of, request

ECHO = """
from buntime import Response
def fetch(request):
    return Response(request.headers["x-way"], headers={"x-way": "app"})
"""
MARKS = """
from buntime.plugin import Continue, plugin
def on_request(request):
    return Continue(headers={"x-way": request.headers.get("x-way", "") + plugin.name})
def on_response(request, response):
    response.headers["x-way"] += plugin.name
"""
WAY = {  # name -> stage, order
    "z": ("route", 0),
    "y": ("identity", 0),
    "x": ("access", -5),
    "w": ("access", 0),
    "a": ("content", 1),
    "b": ("content", 0),
    "c": ("content", 1),
}
DOWNLOADS = """
from buntime import Response
def fetch(request):
    return Response((b"x" * 65536 for _ in range(1000)))
def on_request(request): pass
"""
LAST_WORDS = """
import os
def on_request(request):
    if request.path == "/die":
        print("last words", flush=True)
        os._exit(3)
"""
SAYS = """
import subprocess, sys, threading
from buntime.plugin import plugin
def on_server_start():
    plugin.log.warning("by its log")
    print("by print")
    subprocess.run([sys.executable, "-c", "print('by a child')"])
    threading.Thread(target=lambda: 1 / 0).start()
def on_worker_spawn(worker):
    raise KeyError("by a notice")
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("orders")
    write_app(folder / "apps" / "echo", {"app.py": ECHO}, ttl=600)
    write_app(folder / "apps" / "other", {"app.py": ECHO}, ttl=600)
    for name, (stage, order) in WAY.items():
        match = {"match": {"paths": ["/echo/**"]}} if stage == "route" else {}
        match = match or {"match": {"apps": ["echo"]}}
        write_plugin(folder / "plugins", name, MARKS, stage=stage, order=order, **match)
    write_plugin(
        folder / "plugins", "downloads", DOWNLOADS, base="/downloads", visibility="public",
        concurrency=2, match={"apps": ["hello"]},
    )  # fmt: skip
    write_plugin(folder / "plugins", "last", LAST_WORDS, match={"apps": ["other"]})
    write_plugin(folder / "plugins", "says", SAYS)
    with plugged(folder) as runtime:
        for name in (*WAY, "downloads", "last", "says"):
            wait_for_state(runtime, name, "serving")
        yield runtime


def test_stages_and_orders(runtime: Runtime) -> None:
    """Hooks run by stage, then `order`, then name; for the answer in reverse."""
    answer = fetch(runtime, "/echo/")
    assert (answer.body, answer.headers["x-way"]) == (b"zyxwbac", "appcabwxyz")


def test_slots_that_are_full_of_downloads(runtime: Runtime) -> None:
    """Two clients take all of a plugin's slots and read nothing: its hook answers at once."""
    with client_of(runtime) as one, client_of(runtime) as other:
        for client in (one, other):
            client.send(request("GET /downloads/"))
            assert client.receive().startswith(b"HTTP/1.1 200 ")
        assert fetch(runtime, "/hello/").body == b"hello"


def test_what_it_says_bears_its_name(runtime: Runtime) -> None:
    """The log names the plugin for its log lines, prints, exceptions in threads and notices, and
    for prints of its children."""
    for text in ("by its log", "by print", "by a child"):
        runtime.wait_for_plugin_line(text, plugin="says")
    runtime.wait_for_plugin_line("ZeroDivisionError: division by zero", plugin="says")
    fetch(runtime, "/hello/")
    runtime.wait_for_record("plugin.hook_failed", error="KeyError: 'by a notice'", plugin="says")
    told = [each for each in runtime.records if each["event"] == "plugin.output"]
    assert {each["message"]: each["level"] for each in told}["by its log"] == "warn"


def test_its_last_words(runtime: Runtime) -> None:
    """The last words of a plugin that dies are in the log, with its name."""
    assert fetch(runtime, "/other/die").status == 503
    runtime.wait_for_plugin_line("last words", plugin="last")


def test_one_that_fails_at_its_end(tmp_path: Path) -> None:
    """Each on_shutdown runs, in order, even if that of another plugin raises or dies."""
    ends = "def on_shutdown(): print('down'); raise RuntimeError('boom')"
    dies = "import os\ndef on_shutdown(): print('down', flush=True); os._exit(3)"
    starts = "def on_server_start(): raise RuntimeError('boom')\ndef on_shutdown(): print('down')"
    never = "import os\ndef on_init(): os._exit(3)"
    sources = {"a": starts, "b": dies, "c": ends, "d": never}
    for name, source in sources.items():
        write_plugin(tmp_path / "plugins", name, source)
    with plugged(tmp_path) as runtime:
        for name in "abc":
            wait_for_state(runtime, name, "serving")
        wait_for_state(runtime, "d", "failed")
        runtime.wait_for_record("plugin.hook_failed", plugin="a", hook="on_server_start")
        assert fetch(runtime, "/hello/").status == 200
        assert runtime.stop() == 0
        said = [each for each in runtime.records if each["event"] == "plugin.output"]
    assert [each["plugin"] for each in said if each["message"] == "down"] == ["c", "b", "a"]
    assert lines(runtime).count("down") == 3
