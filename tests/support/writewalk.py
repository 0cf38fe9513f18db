"""Every write of the operators' API, with valid paths and bodies: for tests that walk the one table
of routes against a runtime.

A new route is walked as well. If the API refuses what is made from its schemas, add what the route
needs to PLACES, BODIES or QUERIES, by its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from buntime.core.admin.route import Route, Schema
from buntime.core.admin.routes import ROUTES
from tests.support.deploying import app, packed
from tests.support.harness import wait_until, write_app
from tests.support.pluginfolders import write_plugin

SECRET = "whispered-Xq7-value"  # in secrets
VARIABLE = "variable-Xq7-value"  # in an app's `env`
OPTION = "option-Xq7-value"  # in a plugin's password option
KNOWN = (SECRET, VARIABLE, OPTION)

APP_CODE = """
from buntime import Response
def fetch(request): return Response("ok")
"""
HOOK = "def on_response(request, response): pass\n"
PLUGIN = {"config": {"token": {"type": "password"}}}
CRON = [{"schedule": "0 0 1 1 *", "name": "yearly", "path": "/"}]
# A plugin that signs people in keeps the users, and has tests of its own.
_OURS = [route for route in ROUTES.routes if not route.name.startswith("users.")]
WRITES = [route for route in _OURS if route.can_run_dry]
READS = [route for route in _OURS if route.method == "GET"]

# By `{name}`, or by the route's name and `{name}`.
PLACES = {
    "app": "shop",
    "target": "shop",
    "plugin": "other",
    "plugins.install plugin": "fresh",
    "plugins.remove plugin": "fresh",
    "version": "1.0.0",
    "deploys.put version": "3.0.0",
    "apps.secrets.set name": "TOKEN",
    "apps.secrets.remove name": "STRIPE_KEY",
    "plugins.secrets.set name": "TOKEN",
    "plugins.secrets.remove name": "STRIPE_KEY",
    "apps.secret name": "STRIPE_KEY",
    "plugins.secret name": "STRIPE_KEY",
    "keys.revoke name": "old",
    "keys.show name": "old",
    "cron.run name": "yearly",
    "host": "shop.example.com",
    "script": "frame.js",
}
BODIES: dict[str, object] = {
    "apps.secrets.set": {"value": SECRET},
    "plugins.secrets.set": {"value": SECRET},
    "keys.add": {"name": "made", "roles": ["viewer"]},
    "plugins.options": {"token": OPTION},
    "hosts.move": {"app": "shop"},
}
QUERIES: dict[str, dict[str, object]] = {"access.explain": {"app": "shop", "path": "/"}}
# Routes that remove something come last, in this order.
_LAST = ("deploys.remove", "deploys.removeAll", "plugins.remove")


class Asked(NamedTuple):
    """A request that does what a route is for."""

    route: Route
    path: str
    content: bytes | None
    media: str
    query: Mapping[str, object]


def write_folders(root: Path) -> dict[str, str]:
    """Apps, plugins and the state of a host; returns the environment for its runtime."""
    write_app(root / "apps/site", {"index.html": "<p>"}, hosts=["shop.example.com"])
    write_plugin(root / "plugins", "other", HOOK, **PLUGIN)
    (root / "config.yaml").write_text(f"plugins: {{other: {{options: {{token: {OPTION}}}}}}}\n")
    return {
        "RUNTIME_CONFIG": str(root / "config.yaml"),
        "RUNTIME_ENV": "production",
        "RUNTIME_STATE_DIR": str(root / "state"),
        "RUNTIME_PLUGIN_DIRS": str(root / "plugins"),
    }


def shop(version: str) -> bytes:
    """The archive of an app with everything that routes of apps deal with."""
    wanted = {"ttl": 600, "env": {"GREETING": VARIABLE}, "hosts": ["shop.example.com"]}
    return app(version, code=APP_CODE, cron=CRON, **wanted)


class Walker:
    """An operator who does everything once."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.Client(
            base_url=url, trust_env=False, timeout=60, headers={"X-API-Key": key}, verify=False
        )
        # The same bytes each time: an archive made later would have other times in it.
        self._fresh = packed({"plugin.py": HOOK}, name="fresh", **PLUGIN)

    def furnish(self) -> None:
        """Create what the routes of PLACES name."""
        for version in ("1.0.0", "2.0.0"):
            self._good("PUT", f"/api/apps/shop/versions/{version}", content=shop(version))
        for holder in ("apps/shop", "plugins/other"):
            path = f"/api/{holder}/secrets/STRIPE_KEY"
            self._good("PUT", path, json={"value": SECRET})
        archive = {"Content-Type": "application/gzip"}
        self._good("PUT", "/api/plugins/fresh", content=self._fresh, headers=archive)
        self._good("POST", "/api/keys", json={"name": "old", "roles": ["viewer"]})
        assert self.http.get("/shop/").status_code == 200
        wait_until(lambda: self.http.get("/api/cron").json()["jobs"], 20, "its job is known")

    def _good(self, method: str, path: str, **options: Any) -> None:
        answer = self.http.request(method, path, **options)
        assert answer.status_code < 300, answer.text

    def asked(self, route: Route) -> Asked:
        path = re.sub(r"\{(\w+)\}", lambda found: self._place(route, found[1]), route.path)
        content, media = self._body(route)
        return Asked(route, path, content, media, QUERIES.get(route.name, {}))

    def ask(self, asked: Asked, **query: object) -> httpx.Response:
        headers = {"Content-Type": asked.media} if asked.content is not None else {}
        params: Any = {**asked.query, **query}
        return self.http.request(
            asked.route.method, asked.path, content=asked.content, headers=headers, params=params
        )

    def _place(self, route: Route, name: str) -> str:
        if name == "worker":
            workers = self.http.get("/api/workers").json()["workers"]
            return next(str(each["id"]) for each in workers if each["app"] == "shop")
        if name == "deploy":
            return str(self.http.get("/api/deploys").json()["deploys"][0]["id"])
        return PLACES.get(f"{route.name} {name}") or PLACES[name]

    def _body(self, route: Route) -> tuple[bytes | None, str]:
        if route.body is None:
            return None, ""
        if route.body.schema is None:
            made = self._fresh if route.name.startswith("plugins.") else shop("3.0.0")
            return made, route.body.media[0]
        value = BODIES[route.name] if route.name in BODIES else example_of(route.body.schema)
        return json.dumps(value).encode(), "application/json"


def in_order(routes: list[Route]) -> list[Route]:
    """Routes in order, with those that remove something at the end."""
    return sorted(routes, key=lambda route: _LAST.index(route.name) if route.name in _LAST else -1)


def example_of(schema: Schema) -> Any:
    """The smallest value that fits a schema, of the few keywords that routes use."""
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        required = schema.get("required", ())
        return {name: example_of(schema["properties"][name]) for name in required}
    if kind == "array":
        return [example_of(schema["items"])] * schema.get("minItems", 0)
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    return {"boolean": True, "string": "x" * schema.get("minLength", 1)}.get(str(kind))


# The state of a host

_PASSING = re.compile(r"/(turn|lock|control\.sock|local\.key|state\.db.*)$|^state/(logs|tmp-)")


def files_of(root: Path) -> dict[str, str]:
    """Each file, link and folder with its content, except temporary ones and state.db."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if _PASSING.search(name) or path.is_socket() or "__pycache__" in name:
            continue
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        else:
            data = path.read_bytes() if path.is_file() else b"a folder"
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def rows_of(state: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of a state folder's database, by table; a runtime may have it open if it is idle.

    A copy is read, with its log, because the file is locked.
    """
    with tempfile.TemporaryDirectory() as folder:
        for path in state.glob("state.db*"):
            shutil.copy(path, folder)
        connection = sqlite3.connect(Path(folder, "state.db"))
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        names = [name for (name,) in tables.fetchall()]
        rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
        connection.close()
    return rows
