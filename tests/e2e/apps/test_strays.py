"""An app whose links leave its path: the log and the page in development say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import running, write_app
from tests.support.pluginfolders import plugged, write_plugin

PAGE = """
from buntime import Response

def fetch(request):
    return Response.html('<link rel=stylesheet href="/static/a.css">')
"""
BROWSER = {"Accept": "text/html"}


@pytest.mark.parametrize("path", ["/", "/static/a.css", "/api/todos"])
@pytest.mark.parametrize("mode", ["development", "production"])
def test_a_page_asks_for_what_is_not_there(tmp_path: Path, mode: str, path: str) -> None:
    """One record says which page asked for what; only in development the answer does too."""
    write_app(tmp_path / "shop", {"app.py": PAGE})
    with running(tmp_path, env={"RUNTIME_ENV": mode}) as runtime:
        assert fetch(runtime, "/shop/").status == 200
        fields = {**BROWSER, "Referer": f"http://127.0.0.1:{runtime.port}/shop/"}
        for _ in range(3):
            answer = fetch(runtime, path, headers=fields)
            if path == "/" and mode == "development":  # the list of apps, or the panel
                assert answer.status in (200, 302)
                continue
            assert answer.status == 404
            assert (b"the page /shop/ of shop" in answer.body) == (mode == "development")
        record = runtime.wait_for_record("app.link_away")
        assert (record["app"], record["page"], record["path"]) == ("shop", "/shop/", path)
        assert b"the page" not in fetch(runtime, path, headers=BROWSER).body
    assert [each["event"] for each in runtime.records].count("app.link_away") == 1


@pytest.mark.parametrize("mode", ["development", "production"])
def test_a_page_opens_a_websocket_that_is_not_there(tmp_path: Path, mode: str) -> None:
    """The log has its path, and what to do; only in development the answer does too."""
    write_app(tmp_path / "shop", {"app.py": PAGE})
    with running(tmp_path, env={"RUNTIME_ENV": mode}) as runtime:
        fields = {
            **BROWSER,
            "Origin": f"http://127.0.0.1:{runtime.port}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        for path in ("/ws", "/ws", "/api/ws"):
            answer = fetch(runtime, path, headers=fields)
            assert answer.status == 404
            assert (b"opens a WebSocket at" in answer.body) == (mode == "development")
        runtime.wait_for_record("app.socket_away", path="/api/ws")
    records = [each for each in runtime.records if each["event"] == "app.socket_away"]
    assert [each["path"] for each in records] == ["/ws", "/api/ws"]


@pytest.mark.parametrize("mode", ["development", "production"])
def test_a_page_in_a_frame_that_asks_without_its_token(tmp_path: Path, mode: str) -> None:
    """The log names what to use, and in development the 401 does too."""
    menus = [{"title": "Full", "path": "/"}]
    page = {"base": "/full", "entrypoint": "index.html", "routes": ["/api/**"], "menus": menus}
    folder = write_plugin(tmp_path / "plugins", "full", PAGE, **page)
    (folder / "index.html").write_text("<p>hello", "utf-8")
    with plugged(tmp_path, RUNTIME_ENV=mode) as runtime:
        answer = fetch(runtime, "/full/api/x", headers={**BROWSER, "Origin": "null"})
        assert answer.status == 401
        assert (b"use frame.fetch" in answer.body) == (mode == "development")
        record = runtime.wait_for_record("frame.no_token", path="/full/api/x")
        assert record["app"] == "plugin:full"
