"""A plugin in each form of Buntime: hooks, a page, code under its base, and the command line."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.support.client import fetch
from tests.support.harness import ROOT, wait_until, write_app
from tests.support.keyvalapp import with_keyval
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin
from tests.support.runs import run

CODE = """
from buntime.plugin import Continue, Response, plugin

def on_request(request):
    return Continue(headers={"x-seen": plugin.name}, identity={"user": "ann"})

def on_response(request, response):
    response.headers["x-told"] = str(response.status)

def fetch(request):
    return Response(f"code {request.path}")
"""
ECHO = """
from buntime import Response
def fetch(request):
    return Response.json(dict(request.headers.items()))
"""


def test_a_plugin(tmp_path: Path) -> None:
    """A plugin takes part in requests to apps, and answers its own."""
    folder = write_plugin(
        tmp_path / "plugins", "all", CODE, stage="identity", base="/all", visibility="public",
        entrypoint="page.html", routes=["/api/**"],
    )  # fmt: skip
    (folder / "page.html").write_text("<h1>page</h1>", "utf-8")
    write_app(tmp_path / "apps" / "echo", {"app.py": ECHO}, ttl=600)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "all", "serving")
        answer = fetch(runtime, "/echo/", headers={"X-Identity": "eve"})
        told = answer.json()
        assert (told["x-seen"], json.loads(told["x-identity"])) == ("all", {"user": "ann"})
        assert answer.headers["x-told"] == "200"
        assert fetch(runtime, "/all/api/x").body == b"code /api/x"
        assert b"<h1>page</h1>" in fetch(runtime, "/all/").body


SERVICE = """
from buntime.plugin import exposed, plugin

class Store:
    @exposed
    def get(self, key): return [plugin.caller, key]
    @exposed
    def count(self, most):
        yield from range(most)

services = {plugin.name: Store()}
"""
USER = """
from buntime import Response, service
def fetch(request):
    there = service("kept"), service("awaited")
    return Response.json([[each.get("a"), list(each.count(3))] for each in there])
"""


def test_services(tmp_path: Path) -> None:
    """Sync and async services work for sync and async users, in each kind of process."""
    uses = {"ttl": 600, "uses": ["kept", "awaited"]}
    awaited = SERVICE.replace("    def get", "    async def get").replace(
        "def count(self, most):\n        yield from range(most)",
        "async def count(self, most):\n        for each in range(most): yield each",
    )
    for name, code in (("kept", SERVICE), ("awaited", awaited)):
        write_plugin(tmp_path / "plugins", name, code, provides={name: {"to": "all"}})
    user = USER.replace("def fetch", "async def fetch").replace("service", "async_service")
    user = user.replace("each.get", "await each.get").replace(
        "list(each.count(3))", "[item async for item in each.count(3)]"
    )
    write_app(tmp_path / "apps" / "plain", {"app.py": USER}, **uses)
    write_app(tmp_path / "apps" / "asking", {"app.py": user}, **uses)
    with plugged(tmp_path) as runtime:
        for name in ("plain", "asking"):
            answer = fetch(runtime, f"/{name}/")
            assert answer.json() == [[[f"app:{name}", "a"], [0, 1, 2]]] * 2


def test_the_config_file(tmp_path: Path) -> None:
    """The config file sets a plugin's options; a command shows them and where they come from."""
    code = """
from buntime.plugin import Response, plugin
def fetch(request): return Response(plugin.config["word"])
"""
    config = {"word": {"type": "string", "required": True}, "key": {"type": "password"}}
    write_plugin(
        tmp_path / "plugins", "says", code, base="/says", visibility="public", config=config
    )
    file = tmp_path / "b.yaml"
    file.write_text("plugins: {says: {options: {word: good, key: hunter2}}}", "utf-8")
    with plugged(tmp_path, RUNTIME_CONFIG=str(file)) as runtime:
        wait_for_state(runtime, "says", "serving")
        assert fetch(runtime, "/says/").body == b"good"
        file.write_text("plugins: {says: {options: {wrod: bad}}}", "utf-8")
        os.kill(runtime.pid, signal.SIGHUP)
        told = runtime.wait_for_record("config.rejected")
        assert "did you mean word?" in told["faults"][0]
        file.write_text("plugins: {says: {options: {word: better, key: hunter2}}}", "utf-8")
        os.kill(runtime.pid, signal.SIGHUP)
        wait_until(lambda: fetch(runtime, "/says/").body == b"better", 20)
    words = ("config", "show", "--plugin-dirs", tmp_path / "plugins", "--config", file)
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0
    assert f"options.word better ({file}:1)" in " ".join(done.stdout.split())
    assert "hunter2" not in done.stdout


def test_the_command_line(tmp_path: Path) -> None:
    """`buntime plugins check` says what is wrong."""
    write_plugin(tmp_path / "plugins", "needs", "", dependencies=["nobody"])
    done = run("plugins", "check", tmp_path / "plugins", cwd=tmp_path)
    assert done.returncode == 1
    assert "needs nobody, which is not installed" in done.stdout + done.stderr


def test_bundled_plugins(tmp_path: Path) -> None:
    """Each plugin of the project is built in, also in a folder that has nothing to do with it."""
    done = run("plugins", "list", cwd=tmp_path)
    assert done.returncode == 0
    names = {path.parent.name for path in (ROOT / "plugins").glob("*/buntime.yaml")}
    listed = [line.split() for line in done.stdout.splitlines()]
    assert {words[1] for words in listed if words[0] != "no"} == names


def test_keyval(tmp_path: Path) -> None:
    """The built-in store keeps what an app writes, over a restart too."""
    for number in (None, 1):
        with with_keyval(tmp_path) as runtime:
            source = b'result = kv.get(("n",))\nkv.atomic().sum(("n",), 1).commit()'
            answer = fetch(runtime, "/shop/", method="POST", body=source)
            assert (answer.status, answer.json()) == (200, number)
            assert fetch(runtime, "/keyval/").status == 200
            assert fetch(runtime, "/keyval/api/spaces").status == 401
