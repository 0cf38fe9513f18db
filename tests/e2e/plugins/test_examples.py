"""The examples of docs/plugins.md, exactly as written there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import wait_until, write_app
from tests.support.pluginfolders import lines, plugged, wait_for_state
from tests.test_docs import examples

PAGE = (Path(__file__).parents[3] / "docs/plugins.md").read_text("utf-8")
APP = """
from buntime import Response
def fetch(request):
    return Response.json(dict(request.headers.items()), headers={"server": "shop"})
"""


def copy_example(folder: Path, name: str) -> None:
    """Write the example of this name into `folder/plugins`."""
    begun = PAGE.index(f"```yaml\nname: {name}\n")
    manifest, code = examples(PAGE[begun:], "yaml")[0], examples(PAGE[begun:], "python")[0]
    write_app(folder / "plugins" / name, {"buntime.yaml": manifest, "plugin.py": code})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_app(tmp_path / "apps" / "shop", {"app.py": APP}, ttl=600)
    return tmp_path


def test_audit(folder: Path) -> None:
    """A request that changes something is logged, and its answer has an extra field."""
    copy_example(folder, "audit")
    with plugged(folder) as runtime:
        wait_for_state(runtime, "audit", "serving")
        assert "x-audited" not in fetch(runtime, "/shop/").headers
        answer = fetch(runtime, "/shop/cart", method="POST", body=b"")
        assert answer.headers["x-audited"] == "yes"
        runtime.wait_for_plugin_line("127.0.0.1 POST shop/cart", level="info", plugin="audit")


def test_guard(folder: Path) -> None:
    """No request passes without the word, and a plugin without one lets none pass."""
    copy_example(folder, "guard")
    with plugged(folder, GUARD_WORD="sesame") as runtime:
        wait_for_state(runtime, "guard", "serving")
        assert fetch(runtime, "/shop/").status == 200
        refused = fetch(runtime, "/shop/admin/x")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        page = fetch(runtime, "/shop/admin/x", headers={"Accept": "text/html"})
        assert (page.status, page.headers["location"]) == (303, "/sign-in/")
        key = {"Authorization": "Bearer sesame"}
        assert fetch(runtime, "/shop/admin/x", headers=key).status == 200
        key = {"Authorization": "Bearer sesam"}
        assert fetch(runtime, "/shop/admin/x", headers=key).status == 401


def test_header_rule(folder: Path) -> None:
    """Each answer has the fields, errors too."""
    copy_example(folder, "headers")
    with plugged(folder) as runtime:
        wait_for_state(runtime, "headers", "serving")
        answer = fetch(runtime, "/shop/")
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers


def test_sweeper(folder: Path) -> None:
    """It sweeps again and again; after a reload the new code does, and the old code no more."""
    copy_example(folder, "sweeper")
    plugin = folder / "plugins/sweeper"
    options = {"plugins": {"sweeper": {"options": {"seconds": 0.1}}}}
    (folder / "config.yaml").write_text(json.dumps(options))
    with plugged(folder, RUNTIME_CONFIG=str(folder / "config.yaml")) as runtime:
        old = wait_for_state(runtime, "sweeper", "serving")["pid"]
        wait_until(lambda: lines(runtime).count("swept") > 1, 20, "it sweeps")
        code = (plugin / "plugin.py").read_text("utf-8")
        (plugin / "plugin.py").write_text(code.replace('"swept"', '"swept anew"'), "utf-8")
        assert fetch(runtime, "/api/plugins/sweeper/reload", method="POST").status == 202
        wait_until(lambda: not Path(f"/proc/{old}").exists(), 20, "the old process has ended")
        runtime.wait_for_plugin_line("swept anew")
        begun = len(lines(runtime))
        wait_until(lambda: len(lines(runtime)) > begun + 2, 20, "it goes on")
        assert {*lines(runtime)[begun:]} == {"swept anew"}


def test_sessions(folder: Path) -> None:
    """The app learns who asks, and never sees the cookie."""
    copy_example(folder, "sessions")
    with plugged(folder) as runtime:
        wait_for_state(runtime, "sessions", "serving")
        for _ in range(2):
            told = fetch(runtime, "/shop/", headers={"Cookie": "sid=7; theme=dark"}).json()
            assert json.loads(told["x-identity"])["user"] == "ann"
            assert told["cookie"] == "theme=dark"
        assert "x-identity" not in fetch(runtime, "/shop/", headers={"Cookie": "sid=8"}).json()
