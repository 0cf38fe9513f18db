"""Plugins on the oldest supported Python, and in an environment of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import write_app
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin
from tests.support.pythons import make_venv, search_path, wanted

PLUGIN = """
import sys
{imports}
from buntime import Response
from buntime.plugin import Continue, exposed, plugin

class Store:
    @exposed
    {async_}def who(self):
        return [plugin.caller, list(sys.version_info[:2]), {word}]

services = {{"words": Store()}}

{async_}def on_request(request):
    return Continue(headers={{"x-word": {word}}})

{async_}def on_response(request, response):
    response.headers["x-python"] = "%d.%d" % sys.version_info[:2]

{async_}def fetch(request):
    return Response("code in " + sys.prefix)
"""
APP = """
from buntime import Response, service
def fetch(request):
    return Response.json([request.headers.get("x-word"), service("words").who()])
"""


def check(tmp_path: Path, version: list[int], word: str) -> str:
    """Checks the plugin's hooks, page, code and service; returns its interpreter's prefix."""
    (tmp_path / "plugins" / "words" / "page.html").write_text("<h1>page</h1>", "utf-8")
    write_app(tmp_path / "apps" / "shop", {"app.py": APP}, ttl=600, uses=["words"])
    with plugged(tmp_path, PATH=search_path()) as runtime:
        wait_for_state(runtime, "words", "serving")
        answer = fetch(runtime, "/shop/")
        assert answer.json() == [word, ["app:shop", version, word]]
        assert answer.headers["x-python"] == ".".join(map(str, version))
        assert b"<h1>page</h1>" in fetch(runtime, "/words/").body
        code = fetch(runtime, "/words/api/x").body.decode()
    return code.removeprefix("code in ")


MANIFEST = {
    "base": "/words",
    "entrypoint": "page.html",
    "routes": ["/api/**"],
    "visibility": "public",
    "provides": {"words": {"to": "all"}},
}


@pytest.mark.parametrize("async_", ["", "async "])
def test_the_oldest_python(tmp_path: Path, async_: str) -> None:
    wanted("3.9")
    source = PLUGIN.format(imports="", async_=async_, word="'old'")
    write_plugin(tmp_path / "plugins", "words", source, python="3.9", **MANIFEST)
    check(tmp_path, [3, 9], "old")


def test_an_environment_of_its_own(tmp_path: Path) -> None:
    """A plugin has the packages of its .venv, which the runtime and apps do not have."""
    source = PLUGIN.format(imports="import dropped", async_="", word="dropped.WORD")
    folder = write_plugin(tmp_path / "plugins", "words", source, **MANIFEST)
    python = wanted("3.12")
    (make_venv(folder, python) / "dropped.py").write_text("WORD = 'of the venv'")
    assert check(tmp_path, [3, 12], "of the venv") == str(folder / ".venv")
