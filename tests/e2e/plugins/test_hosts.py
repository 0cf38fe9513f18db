"""Hooks work at an app's host as they do below its name."""

from __future__ import annotations

from pathlib import Path

from tests.support.client import Answer, fetch
from tests.support.harness import write_app
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin

APP = """
from buntime import Response
def fetch(request): return Response.json({"path": request.path, "base": request.base})
"""
GUARD = """
from buntime.plugin import Response
def on_request(request):
    return Response(f"{request.app} {request.base}{request.path}", status=403)
"""
ROUTER = """
from buntime.plugin import Continue, Response
def on_request(request):
    if request.path == "/router/x":
        return Response("seen", status=418)
    if request.path == "/moved":
        return Continue(path="/api/there")
    if request.path == "/elsewhere":
        return Continue(headers={"host": "localhost"}, path="/shop/x")
def fetch(request): return Response("own")
"""


def test_hooks_at_hosts(tmp_path: Path) -> None:
    """Guards by app, path or host are asked at an app's host, which has no base of a plugin."""
    plugins = tmp_path / "plugins"
    paths = {"apps": ["shop"], "paths": ["/admin/**"]}
    write_plugin(plugins, "by-path", GUARD, stage="access", match=paths)
    write_plugin(plugins, "by-host", GUARD, stage="access", match={"hosts": ["vip.example.com"]})
    public = {"base": "/router", "visibility": "public"}
    write_plugin(plugins, "router", ROUTER, stage="route", **public)
    hosts = ["shop.example.com", "vip.example.com"]
    write_app(tmp_path / "apps" / "shop", {"app.py": APP}, ttl=600, hosts=hosts)
    with plugged(tmp_path, RUNTIME_DEFAULT_APP="shop") as runtime:
        for name in ("by-path", "by-host", "router"):
            wait_for_state(runtime, name, "serving")

        def get(path: str, host: str = "shop.example.com") -> Answer:
            return fetch(runtime, path, headers={"Host": host})

        assert get("/cart").json() == {"path": "/cart", "base": ""}
        for path in ("/admin/x", "/admin", "/x/../admin/x", "//admin/x", "/%61dmin/x"):
            assert get(path).status == 403, path
        assert get("/admin/x").body == b"shop /admin/x"
        assert get("/admin/x", "localhost").status == 403  # as RUNTIME_DEFAULT_APP
        assert get("/shop/admin/x", "localhost").body == b"shop /shop/admin/x"
        assert get("/shop/admin/x").status == 200  # there the path is another one
        assert get("/cart", "VIP.example.com.:80").status == 403
        # At the app's host /router is an ordinary path, which hooks see; elsewhere it is the
        # plugin's own, which its hook does not see.
        assert get("/router/x").status == 418
        assert get("/router/x", "localhost").body == b"own"
        assert get("/moved").json() == {"path": "/api/there", "base": ""}
        assert get("/moved", "localhost").status == 502
        assert get("/elsewhere").json() == {"path": "/x", "base": "/shop"}
