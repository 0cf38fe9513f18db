"""Requests and answers through the hooks of real plugins, sync and async."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, write_app
from tests.support.pluginfolders import lines, plugged, wait_for_state, write_plugin
from tests.support.rawclient import client_of, request

APP = """
from buntime import Response
def fetch(request):
    return Response.json({
        "path": request.path, "fields": dict(request.headers.items()), "base": request.base
    })
"""
RAISES = "def fetch(request): raise RuntimeError('boom')"
EVENTS = """
import time
from buntime import Response
def fetch(request):
    def beats():
        for n in range(200):
            yield b"data: %d\\n\\n" % n
            time.sleep(0.05)
    return Response(beats(), headers={"content-type": "text/event-stream"})
"""

# Plugins

HEADER = """
from buntime.plugin import Continue
{async_}def on_request(request):
    return Continue(headers={{"{word}-seen": request.path, "{word}-drop": None}})
{async_}def on_response(request, response):
    response.headers["{word}-told"] = str(response.status)
"""
WORDS = {"sync": "", "async": "async "}
GUARD = """
from buntime.plugin import Response
def on_request(request):
    if request.headers.get("x-pass") != "1":
        return Response("who are you?", status=401)
"""
AUTHN = """
from buntime.plugin import Continue
def on_request(request):
    if request.cookies.get("sid") == "7":
        return Continue(identity={"user": "ann", "groups": ["staff"]})
"""
ROUTE = """
from buntime.plugin import Continue
def on_request(request):
    if request.host.startswith("shop."):
        return Continue(app="echo")
    if request.path == "/old":
        return Continue(path="/echo/new")
"""
BAD = """
import os, time
def on_request(request):
    match request.path:
        case "/bad/hang": time.sleep(30)
        case "/bad/raise": raise RuntimeError("boom")
        case "/bad/die": os._exit(3)
        case "/bad/garbage": return 7
"""
HANGS = """
import time
def on_request(request):
    if request.path == "/hangs/now": time.sleep(60)
"""
COUNTS = """
from buntime.plugin import Continue
asked = 0
def on_request(request):
    global asked
    asked += 1
    return Continue(headers={"x-asked": str(asked)}, cache_s=60, vary=["cookie:sid"])
"""
SESSIONS = """
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
BOTH = """
from buntime import Response
def fetch(request): return Response(f"code {request.path}")
"""
SHOP = """
from buntime import Response
def fetch(request): return Response("plugin")
def on_request(request): print("saw", request.app)
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime with the plugins of all tests; a test's own paths keep most of them apart."""
    folder = tmp_path_factory.mktemp("hooks")

    def plugin(name: str, source: str | None, *paths: str, **manifest: object) -> None:
        fields = {"match": {"paths": [*paths]}, **manifest} if paths else manifest
        made = write_plugin(folder / "plugins", name, source, **fields)
        if "entrypoint" in manifest:
            (made / "index.html").write_text("<h1>page</h1>", "utf-8")

    for word, async_ in WORDS.items():
        plugin(word, HEADER.format(word=word, async_=async_), base=f"/{word}")
    plugin("guard", GUARD, "/admin/**", stage="access")
    plugin("authn", AUTHN, "/known/**", stage="identity")
    plugin("route", ROUTE, stage="route")
    plugin("bad", BAD, "/bad/**", hookTimeout="500ms")
    plugin("hangs", HANGS, "/hangs/**", hookTimeout="100ms")
    plugin("counts", COUNTS, "/counted/**")
    plugin("sessions", SESSIONS, "/session/**", stage="identity", base="/out", visibility="public")
    public: dict[str, object] = {"entrypoint": "index.html", "visibility": "public"}
    plugin("page", None, base="/page", **public)
    plugin("both", BOTH, base="/both", routes=["/api/**"], **public)
    plugin("shop", SHOP, base="/shop", visibility="public")
    apps = {"echo": APP, "shop": APP, "raises": RAISES, "events": EVENTS}
    for name, source in apps.items():
        write_app(folder / "apps" / name, {"app.py": source}, ttl=600)
    write_app(folder / "apps" / "site", {"index.html": "<h1>site</h1>"})
    with plugged(folder) as runtime:
        for path in (folder / "plugins").iterdir():
            wait_for_state(runtime, path.name, "serving")
        yield runtime


@pytest.mark.parametrize("word", WORDS)
def test_a_request_and_its_answer(runtime: Runtime, word: str) -> None:
    """One field is set for the app, another removed, and one is added to the answer."""
    answer = fetch(runtime, "/echo/a%20b?x=1", headers={f"{word}-drop": "1"})
    assert answer.status == 200
    told = answer.json()
    assert told["fields"][f"{word}-seen"] == "/a b"
    assert f"{word}-drop" not in told["fields"]
    assert answer.headers[f"{word}-told"] == "200"
    assert fetch(runtime, "/echo/").headers[f"{word}-told"] == "200"
    assert f"{word}-told" not in fetch(runtime, "/health").headers


def test_static_sites_errors_and_other_plugins_pass(runtime: Runtime) -> None:
    """Hooks see everything except the runtime's own paths and the plugin's own base."""
    for target, status in {"/site/": 200, "/page/": 200, "/raises/": 500}.items():
        answer = fetch(runtime, target)
        assert (answer.status, answer.headers.get("sync-told")) == (status, str(status)), target
    own = fetch(runtime, "/sync/")
    assert "sync-told" not in own.headers
    assert own.status in (401, 404)


def test_a_guard_answers(runtime: Runtime) -> None:
    """No request gets past a guard: not with another spelling of the path, nor while it is away."""
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


def test_identity_is_told_and_never_believed(runtime: Runtime) -> None:
    """A client's own claims of identity are removed; what the plugin finds reaches the app."""
    forged = {
        "X-Identity": '{"user":"eve"}', "X_Identity": "eve", "X-Forwarded-User": "eve",
        "x-forwarded_user": "eve", "X-Forwarded-Groups": "root",
    }  # fmt: skip
    fields = fetch(runtime, "/echo/known/", headers=forged).json()["fields"]
    assert "eve" not in json.dumps(fields)
    assert "root" not in json.dumps(fields)
    signed_in = {**forged, "Cookie": "sid=7"}
    fields = fetch(runtime, "/echo/known/", headers=signed_in).json()["fields"]
    assert json.loads(fields["x-identity"]) == {"user": "ann", "groups": ["staff"]}
    assert fields["x-forwarded-user"] == "ann"
    assert fields["x-forwarded-groups"] == "staff"
    assert "eve" not in json.dumps(fields)


def test_a_route_hook_leads_elsewhere(runtime: Runtime) -> None:
    """A hook leads a request by its host to an app, with the whole path."""
    told = fetch(runtime, "/a/b", headers={"Host": "shop.example"}).json()
    assert (told["path"], told["base"]) == ("/a/b", "")
    assert fetch(runtime, "/old").json()["path"] == "/new"
    assert fetch(runtime, "/hello/").body.decode() == "hello"


def test_a_hook_that_hangs_raises_or_dies(runtime: Runtime) -> None:
    """The request is refused in time, others are served, and the log says why."""
    before = len(runtime.records)
    for path, status in {"hang": 502, "raise": 502, "garbage": 502, "die": 503}.items():
        begun = time.monotonic()
        assert fetch(runtime, f"/hello/bad/{path}").status == status, path
        assert time.monotonic() - begun < 5
        wait_for_state(runtime, "bad", "serving")
        assert fetch(runtime, "/hello/bad/no").body.decode() == "hello"
    failed = [each for each in runtime.records[before:] if each["event"] == "plugin.hook_failed"]
    why = [each["error"] for each in failed if each["plugin"] == "bad"]
    assert [text[:20] for text in why][:2] == ["it did not answer in", "RuntimeError: boom"]


def test_what_an_author_is_told(tmp_path: Path, runtime: Runtime) -> None:
    """In development a 502 has the stack, and the command that shows it again; else neither."""
    write_plugin(tmp_path / "plugins", "bad", BAD)
    with plugged(tmp_path, RUNTIME_ENV="development") as developed:
        wait_for_state(developed, "bad", "serving")
        error = fetch(developed, "/hello/bad/raise").error
        assert error["stack"].splitlines()[-1] == "RuntimeError: boom"
        assert error["hint"].endswith("buntime logs plugin:bad --level error")
    error = fetch(runtime, "/hello/bad/raise").error
    assert error.keys() == {"code", "message", "requestId"}


@pytest.mark.parametrize("mode", ["development", "production"])
def test_what_an_author_is_told_of_one_that_is_away(tmp_path: Path, mode: str) -> None:
    """In development a 503 says why: of a page or a guard that cannot start, and of a manifest that
    cannot be read, which closes everything."""
    broken = "raise ValueError('no luck')"
    write_plugin(tmp_path / "plugins", "page", broken, base="/page", visibility="public")
    write_plugin(tmp_path / "plugins", "guard", broken, stage="access", match={"apps": ["hello"]})
    with plugged(tmp_path, RUNTIME_ENV=mode) as runtime:
        wait_for_state(runtime, "page", "failed")
        wait_for_state(runtime, "guard", "failed")
        told = [fetch(runtime, path).error for path in ("/page/", "/hello/")]
        (tmp_path / "plugins/odd").mkdir()
        (tmp_path / "plugins/odd/buntime.yaml").write_text("name: odd\nstage: x\n")
        runtime.process.send_signal(signal.SIGHUP)
        runtime.wait_for_record("plugin.invalid", plugin="odd")
        told.append(fetch(runtime, "/hello/").error)
    assert [each["code"] for each in told] == ["plugin_unavailable"] * 3
    if mode == "production":
        assert not any("stack" in each for each in told)
        return
    assert ["no luck" in each["stack"] for each in told] == [True, True, False]
    assert "odd/buntime.yaml:2: stage: " in told[2]["stack"]


def test_all_hooks_hang(runtime: Runtime) -> None:
    """Each request is refused in time, and a plugin that answers nothing is restarted."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client_of(runtime)) for _ in range(20)]
        for client in clients:
            client.send(request("GET /hello/hangs/now"))
        assert [client.read().status for client in clients] == [502] * 20
        while not any(each["event"] == "plugin.stuck" for each in runtime.records):
            assert fetch(runtime, "/hello/hangs/now").status in (502, 503)
        runtime.wait_for_record("plugin.died", plugin="hangs")
        wait_for_state(runtime, "hangs", "serving")
        assert fetch(runtime, "/hello/hangs/no").body == b"hello"


def test_a_verdict_is_kept(runtime: Runtime) -> None:
    """A session is looked up once, by its cookie."""

    def asked(sid: str) -> str:
        answer = fetch(runtime, "/echo/counted/", headers={"Cookie": f"sid={sid}"})
        number: str = answer.json()["fields"]["x-asked"]
        return number

    assert [asked("a"), asked("a"), asked("b"), asked("a"), asked("b")] == list("11212")


def test_a_verdict_is_forgotten(runtime: Runtime) -> None:
    """When the plugin ends a session, its next request is checked and its event stream ends."""
    cookie = {"Cookie": "sid=7"}
    assert fetch(runtime, "/hello/session/", headers=cookie).status == 200
    with client_of(runtime) as client:
        client.send(request("GET /events/session/", "Cookie: sid=7"))
        while b"data: 1" not in client.receive():
            pass
        assert fetch(runtime, "/out/").body == b"signed out"
        told = b""
        while not told.endswith(b"0\r\n\r\n"):
            piece = client.receive()
            assert piece
            told += piece
    assert fetch(runtime, "/hello/session/", headers=cookie).status == 401


def test_a_page_beside_routes(runtime: Runtime) -> None:
    """What the manifest routes to code goes there, everything else to the page."""
    assert fetch(runtime, "/both/api/x").body.decode() == "code /api/x"
    assert "page" in fetch(runtime, "/both/").body.decode()
    assert fetch(runtime, "/both/plugin.py").status == 404
    assert fetch(runtime, "/both/buntime.yaml").status == 404


def test_plugins_come_before_apps(runtime: Runtime) -> None:
    """A plugin answers at its base even if an app has that name; its hooks see other apps."""
    assert fetch(runtime, "/shop/").body == b"plugin"
    assert fetch(runtime, "/hello/").body == b"hello"
    runtime.wait_for_plugin_line("saw hello")
    assert "saw shop" not in lines(runtime)
