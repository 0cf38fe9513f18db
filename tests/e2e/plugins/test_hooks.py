"""Requests and answers through the hooks of real plugins, sync and async."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import textwrap
import time
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import write_app
from tests.support.pluginfolders import lines, plugged, wait_for_state, write_plugin
from tests.support.rawclient import client_of, request

APP = """
from buntime import Response
def fetch(request):
    return Response.json({
        "path": request.path, "fields": dict(request.headers.items()), "base": request.base
    })
"""
HEADER = """
from buntime.plugin import Continue
{async_}def on_request(request):
    return Continue(headers={{"x-seen": request.path, "x-drop": None}})
{async_}def on_response(request, response):
    response.headers["x-told"] = str(response.status)
"""
WORDS = {"sync": {"async_": ""}, "async": {"async_": "async "}}


@pytest.mark.parametrize("words", WORDS)
def test_a_request_and_its_answer(tmp_path: Path, words: str) -> None:
    """One field is set for the app, another removed, and one is added to the answer."""
    write_plugin(tmp_path / "plugins", "header", HEADER.format(**WORDS[words]))
    write_app(tmp_path / "apps" / "echo", {"app.py": APP}, ttl=600)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "header", "serving")
        answer = fetch(runtime, "/echo/a%20b?x=1", headers={"X-Drop": "1"})
        assert answer.status == 200
        told = answer.json()
        assert told["fields"]["x-seen"] == "/a b"
        assert "x-drop" not in told["fields"]
        assert answer.headers["x-told"] == "200"
        missing = fetch(runtime, "/echo/")
        assert missing.headers["x-told"] == "200"
        health = fetch(runtime, "/health")
        assert "x-told" not in health.headers


def test_static_sites_errors_and_other_plugins_pass(tmp_path: Path) -> None:
    """Hooks see everything except the runtime's own paths and the plugin's own base."""
    write_plugin(tmp_path / "plugins", "header", HEADER.format(async_=""), base="/header")
    page = write_plugin(
        tmp_path / "plugins", "page", None, base="/page", entrypoint="index.html",
        visibility="public",
    )  # fmt: skip
    (page / "index.html").write_text("<h1>page</h1>", "utf-8")
    write_app(tmp_path / "apps" / "site", {"index.html": "<h1>site</h1>"})
    raises = "def fetch(request): raise RuntimeError('boom')"
    write_app(tmp_path / "apps" / "raises", {"app.py": raises}, ttl=600)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "header", "serving")
        for target, status in {"/site/": 200, "/page/": 200, "/raises/": 500}.items():
            answer = fetch(runtime, target)
            assert (answer.status, answer.headers.get("x-told")) == (status, str(status)), target
        own = fetch(runtime, "/header/")
        assert "x-told" not in own.headers
        assert own.status in (401, 404)


def test_a_guard_answers(tmp_path: Path) -> None:
    """No request gets past a guard: not with another spelling of the path, nor while it is away."""
    guard = """
    from buntime.plugin import Response
    def on_request(request):
        if request.headers.get("x-pass") != "1":
            return Response("who are you?", status=401)
    """
    write_plugin(
        tmp_path / "plugins", "guard", guard, stage="access", match={"paths": ["/admin/**"]}
    )
    write_app(tmp_path / "apps" / "echo", {"app.py": APP}, ttl=600)
    with plugged(tmp_path) as runtime:
        told = wait_for_state(runtime, "guard", "serving")
        assert fetch(runtime, "/echo/open").status == 200
        spellings = ["/admin/x", "/admin", "/x/../admin/x", "/%61dmin/x", "/admin%2Fx", "//admin/x"]
        for path in spellings:
            assert fetch(runtime, f"/echo{path}").status in (400, 401), path
        assert fetch(runtime, "/echo/admin/x", headers={"X-Pass": "1"}).status == 200
        os.kill(told["pid"], signal.SIGKILL)
        wait_for_state(runtime, "guard", "away")
        assert fetch(runtime, "/echo/admin/x", headers={"X-Pass": "1"}).status == 503
        assert fetch(runtime, "/echo/open").status == 200
        wait_for_state(runtime, "guard", "serving")
        assert fetch(runtime, "/echo/admin/x", headers={"X-Pass": "1"}).status == 200


def test_a_guard_that_cannot_start_closes(tmp_path: Path) -> None:
    """A guard counts if it is enabled, even if it does not run."""
    write_plugin(
        tmp_path / "plugins", "guard", "def on_init(): raise RuntimeError('no disk')",
        stage="access",
    )  # fmt: skip
    with plugged(tmp_path) as runtime:
        runtime.wait_for_record("plugin.start_failed", plugin="guard")
        refused = fetch(runtime, "/hello/")
        assert (refused.status, refused.json()["error"]["code"]) == (503, "plugin_unavailable")
        assert fetch(runtime, "/health").status == 200


def test_identity_is_told_and_never_believed(tmp_path: Path) -> None:
    """A client's own claims of identity are removed; what the plugin finds reaches the app."""
    authn = """
    from buntime.plugin import Continue
    def on_request(request):
        if request.cookies.get("sid") == "7":
            return Continue(identity={"user": "ann", "groups": ["staff"]})
    """
    write_plugin(tmp_path / "plugins", "authn", authn, stage="identity")
    write_app(tmp_path / "apps" / "echo", {"app.py": APP}, ttl=600)
    forged = {
        "X-Identity": '{"user":"eve"}', "X_Identity": "eve", "X-Forwarded-User": "eve",
        "x-forwarded_user": "eve", "X-Forwarded-Groups": "root",
    }  # fmt: skip
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "authn", "serving")
        fields = fetch(runtime, "/echo/", headers=forged).json()["fields"]
        assert "eve" not in json.dumps(fields)
        assert "root" not in json.dumps(fields)
        fields = fetch(runtime, "/echo/", headers={**forged, "Cookie": "sid=7"}).json()["fields"]
        assert json.loads(fields["x-identity"]) == {"user": "ann", "groups": ["staff"]}
        assert fields["x-forwarded-user"] == "ann"
        assert fields["x-forwarded-groups"] == "staff"
        assert "eve" not in json.dumps(fields)


def test_a_route_hook_leads_elsewhere(tmp_path: Path) -> None:
    """A hook leads a request by its host to an app, with the whole path."""
    route = """
    from buntime.plugin import Continue
    def on_request(request):
        if request.host.startswith("shop."):
            return Continue(app="echo")
        if request.path == "/old":
            return Continue(path="/echo/new")
    """
    write_plugin(tmp_path / "plugins", "route", route, stage="route")
    write_app(tmp_path / "apps" / "echo", {"app.py": APP}, ttl=600)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "route", "serving")
        told = fetch(runtime, "/a/b", headers={"Host": "shop.example"}).json()
        assert (told["path"], told["base"]) == ("/a/b", "")
        assert fetch(runtime, "/old").json()["path"] == "/new"
        assert fetch(runtime, "/hello/").body.decode() == "hello"


def test_a_hook_that_hangs_raises_or_dies(tmp_path: Path) -> None:
    """The request is refused in time, others are served, and the log says why."""
    bad = """
    import os, time
    def on_request(request):
        match request.path:
            case "/hang": time.sleep(30)
            case "/raise": raise RuntimeError("boom")
            case "/die": os._exit(3)
            case "/garbage": return 7
    """
    write_plugin(tmp_path / "plugins", "bad", bad, hookTimeout="500ms")
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "bad", "serving")
        for path, status in {"hang": 502, "raise": 502, "garbage": 502, "die": 503}.items():
            begun = time.monotonic()
            assert fetch(runtime, f"/hello/{path}").status == status, path
            assert time.monotonic() - begun < 5
            wait_for_state(runtime, "bad", "serving")
            assert fetch(runtime, "/hello/").body.decode() == "hello"
    why = [each["error"] for each in runtime.records if each["event"] == "plugin.hook_failed"]
    assert [text[:20] for text in why][:2] == ["it did not answer in", "RuntimeError: boom"]


def test_all_hooks_hang(tmp_path: Path) -> None:
    """Each request is refused in time, and a plugin that answers nothing is restarted."""
    hangs = """
    import time
    def on_request(request):
        if request.path == "/hang": time.sleep(60)
    """
    write_plugin(tmp_path / "plugins", "hangs", hangs, hookTimeout="100ms")
    with plugged(tmp_path) as runtime, contextlib.ExitStack() as stack:
        wait_for_state(runtime, "hangs", "serving")
        clients = [stack.enter_context(client_of(runtime)) for _ in range(20)]
        for client in clients:
            client.send(request("GET /hello/hang"))
        assert [client.read().status for client in clients] == [502] * 20
        while not any(each["event"] == "plugin.stuck" for each in runtime.records):
            assert fetch(runtime, "/hello/hang").status in (502, 503)
        runtime.wait_for_record("plugin.died", plugin="hangs")
        wait_for_state(runtime, "hangs", "serving")
        assert fetch(runtime, "/hello/").body == b"hello"


def test_a_verdict_is_kept(tmp_path: Path) -> None:
    """A session is looked up once, by its cookie."""
    counts = """
    from buntime.plugin import Continue
    asked = 0
    def on_request(request):
        global asked
        asked += 1
        return Continue(headers={"x-asked": str(asked)}, cache_s=60, vary=["cookie:sid"])
    """
    write_plugin(tmp_path / "plugins", "counts", counts)
    write_app(tmp_path / "apps" / "echo", {"app.py": APP}, ttl=600)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "counts", "serving")

        def asked(sid: str) -> str:
            fields = fetch(runtime, "/echo/", headers={"Cookie": f"sid={sid}"}).json()["fields"]
            number: str = fields["x-asked"]
            return number

        assert [asked("a"), asked("a"), asked("b"), asked("a"), asked("b")] == list("11212")


def test_a_verdict_is_forgotten(tmp_path: Path) -> None:
    """When the plugin ends a session, its next request is checked and its event stream ends."""
    sessions = """
    from buntime.plugin import Continue, Response, plugin
    alive = {"7"}
    def on_request(request):
        sid = request.cookies.get("sid")
        if sid not in alive:
            return Response("who are you?", status=401)
        return Continue(cache_s=60, vary=["cookie:sid"], any_path=True, tags=[f"sid:{sid}"])
    def fetch(request):
        alive.clear()
        plugin.forget("sid:7")
        return Response("signed out")
    """
    events = """
    import time
    from buntime import Response
    def fetch(request):
        def beats():
            for n in range(200):
                yield b"data: %d\\n\\n" % n
                time.sleep(0.05)
        return Response(beats(), headers={"content-type": "text/event-stream"})
    """
    write_plugin(
        tmp_path / "plugins", "sessions", sessions, stage="identity", base="/out",
        visibility="public",
    )  # fmt: skip
    write_app(tmp_path / "apps" / "events", {"app.py": textwrap.dedent(events)}, ttl=600)
    cookie = {"Cookie": "sid=7"}
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "sessions", "serving")
        assert fetch(runtime, "/hello/", headers=cookie).status == 200
        with client_of(runtime) as client:
            client.send(request("GET /events/", "Cookie: sid=7"))
            while b"data: 1" not in client.receive():
                pass
            assert fetch(runtime, "/out/").body == b"signed out"
            told = b""
            while not told.endswith(b"0\r\n\r\n"):
                piece = client.receive()
                assert piece
                told += piece
        assert fetch(runtime, "/hello/", headers=cookie).status == 401


def test_a_page_beside_routes(tmp_path: Path) -> None:
    """What the manifest routes to code goes there, everything else to the page."""
    code = """
    from buntime import Response
    def fetch(request): return Response(f"code {request.path}")
    """
    folder = write_plugin(
        tmp_path / "plugins", "both", code, base="/both", entrypoint="index.html",
        routes=["/api/**"], visibility="public",
    )  # fmt: skip
    (folder / "index.html").write_text("<h1>page</h1>", "utf-8")
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "both", "serving")
        assert fetch(runtime, "/both/api/x").body.decode() == "code /api/x"
        assert "page" in fetch(runtime, "/both/").body.decode()
        assert fetch(runtime, "/both/plugin.py").status == 404
        assert fetch(runtime, "/both/buntime.yaml").status == 404


def test_plugins_come_before_apps(tmp_path: Path) -> None:
    """A plugin answers at its base even if an app has that name; its hooks see other apps."""
    source = """
    from buntime import Response
    def fetch(request): return Response("plugin")
    def on_request(request): print("saw", request.app)
    """
    write_plugin(tmp_path / "plugins", "shop", source, base="/shop", visibility="public")
    write_app(tmp_path / "apps" / "shop", {"app.py": APP}, ttl=600)
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "shop", "serving")
        assert fetch(runtime, "/shop/").body == b"plugin"
        assert fetch(runtime, "/hello/").body == b"hello"
        runtime.wait_for_plugin_line("saw hello")
        assert "saw shop" not in lines(runtime)
