"""A signed-in operator opens an app with a malicious script, in Chromium.

The app is at another port of the same host, which cookies and SameSite do not separate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.chromium import needs_chromium
from tests.support.harness import OPERATORS_KEY, Runtime, wait_until, write_app
from tests.support.operators import Operator, address_of, signed_in
from tests.support.pluginfolders import plugged, write_plugin

pytestmark = needs_chromium

# Shows a page, answers with what it got, and sets any cookies that it is asked for. It also listens
# at a port of its own, and uses what is sent there.
APP = """
import http.client, json, socket, threading
from buntime import Response

caught = []

def take(sock):
    with sock.accept()[0] as client:
        caught.append(client.recv(65536).decode())
        client.sendall(b"HTTP/1.1 204 No Content\\r\\nConnection: close\\r\\n\\r\\n")

def fetch(request):
    if request.path == "/listen":
        sock = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=take, args=[sock], daemon=True).start()
        return Response(str(sock.getsockname()[1]))
    if request.path == "/use":
        [cookie] = [line for line in caught[-1].splitlines() if line.startswith("Cookie: ")]
        fields = {"Cookie": cookie.removeprefix("Cookie: "), "Sec-Fetch-Site": "same-origin"}
        connection = http.client.HTTPConnection("127.0.0.1", int(request.query["port"]))
        connection.request("GET", "/api/session", headers=fields)
        return Response(json.dumps([cookie, connection.getresponse().status]))
    if request.path == "/page":
        return Response("<!doctype html><title>app</title><p>app", headers={
            "Content-Type": "text/html", "Set-Cookie": "own=1; Path=/"})
    headers = {"Set-Cookie": request.query["set"]} if "set" in request.query else {}
    return Response(json.dumps(dict(request.headers)), headers=headers)

async def websocket(ws):
    await ws.accept()
    await ws.send(json.dumps(dict(ws.headers)))
"""
# A plugin with a page, code, and a WebSocket, which signed-in operators reach.
PLUGIN = """
import json
from buntime import Response

def fetch(request):
    return Response(json.dumps(dict(request.headers)))

async def websocket(ws):
    await ws.accept()
    await ws.send(json.dumps(dict(ws.headers)))
"""
# Sees each request, and notes the cookies that it was shown.
SPY = """
from buntime.plugin import Continue

def on_request(request):
    cookie = request.headers.get("cookie")
    if cookie:
        print("saw", cookie)
    return Continue()
"""
# Each returns what a script of another page gets from the operators' address.
READ = """async (url) => {
    try {
        const answer = await fetch(url, {credentials: "include"});
        return await answer.text();
    } catch (error) { return error.name; }
}"""
SEND = """async ([url, method, mode, headers]) => {
    try {
        const options = {method, mode, headers, credentials: "include", body: "{}"};
        const answer = await fetch(url, options);
        return answer.type + answer.status;
    } catch (error) { return error.name; }
}"""
LOAD = """([tag, url]) => new Promise((done) => {
    const element = document.createElement(tag);
    element.onload = () => done("loaded");
    element.onerror = () => done("error");
    element[tag === "link" ? "href" : tag === "object" ? "data" : "src"] = url;
    if (tag === "link") element.rel = "stylesheet";
    document.body.append(element);
})"""
LISTEN = """(url) => new Promise((done) => {
    const source = new EventSource(url, {withCredentials: true});
    source.onmessage = (event) => done(event.data);
    source.onerror = () => { source.close(); done("error"); };
})"""
CONNECT = """(url) => new Promise((done) => {
    const socket = new WebSocket(url);
    socket.onmessage = (event) => done(event.data);
    socket.onerror = () => done("error");
})"""
FRAME = """(url) => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.onload = () => {
        let text = null;
        try { text = frame.contentDocument.body.textContent; } catch (error) { text = error.name; }
        done(text);
    };
    frame.src = url;
    document.body.append(frame);
})"""
OPEN = """async (url) => {
    const other = window.open(url);
    for (let tries = 0; tries < 200; tries++) {
        try { if (other.document.body && other.location.href !== "about:blank") return "read"; }
        catch (error) { other.close(); return error.name; }
        await new Promise((done) => setTimeout(done, 10));
    }
    return "nothing";
}"""
COOKIE = "(() => { try { return document.cookie; } catch (error) { return error.name; } })()"
FORM = """([url, type]) => {
    const form = document.createElement("form");
    form.method = "POST";
    form.action = url;
    form.enctype = type;
    const field = document.createElement("input");
    field.name = '{"a":"';
    field.value = '"}';
    form.append(field);
    document.body.append(form);
    form.submit();
}"""


OWN_PAGE = "/.well-known/buntime"  # a small page of the operators' address itself


class Scene(NamedTuple):
    """The runtime, its operators' address, and the page of the app in the operator's browser."""

    runtime: Runtime
    admin: str
    context: BrowserContext
    page: Page

    def asked(self, path: str) -> list[int]:
        """The statuses of requests for this path, as the log has them."""
        return [
            record["status"]
            for record in self.runtime.records
            if record["event"] == "request.access" and record["path"] == path
        ]

    def statuses(self, path: str, count: int) -> list[int]:
        wait_until(lambda: len(self.asked(path)) >= count, what=f"{count} requests for {path}")
        return self.asked(path)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("attacks")
    write_app(folder / "apps/shop", {"app.py": APP}, ttl=60)
    plugins = folder / "plugins"
    write_plugin(plugins, "tool", PLUGIN, base="/tool")
    write_plugin(plugins, "spy", SPY, stage="identity")
    page = {"page/index.html": "<!doctype html><title>plain</title><p>plain"}
    write_app(plugins / "plain", page, name="plain", base="/plain", entrypoint="page/index.html",
              visibility="operators")  # fmt: skip
    env = {"RUNTIME_MASTER_KEY": OPERATORS_KEY, "RUNTIME_ADMIN_LISTEN": "127.0.0.1:0"}
    with plugged(folder, **env) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def scene(context: BrowserContext, runtime: Runtime) -> Iterator[Scene]:
    """Nothing but the session is left of other tests in the browser."""
    admin, page = address_of(runtime), context.new_page()
    context.clear_cookies()
    operator = signed_in(runtime)
    context.add_cookies(
        [
            {
                "name": "bt",
                "value": operator.cookies["bt"],
                "url": admin,
                "httpOnly": True,
                "sameSite": "Strict",
            }
        ]
    )
    page.goto(f"{runtime.url}/shop/page")
    yield Scene(runtime, admin, context, page)
    page.close()


def test_reading(scene: Scene) -> None:
    """No page of another port can read what the session opens, and its requests are refused."""
    page, admin = scene.page, scene.admin
    for path in ("/api/session", "/api/workers", "/api/keys"):
        assert page.evaluate(READ, admin + path) == "TypeError"
        wait_until(lambda path=path: scene.asked(path)[-1:] == [403], what=f"403 for {path}")
    for tag in ("script", "img", "link", "object"):
        assert page.evaluate(LOAD, [tag, f"{admin}/api/plugins"]) == "error"
    assert set(scene.statuses("/api/plugins", 4)) == {403}
    assert page.evaluate(LISTEN, f"{admin}/api/events") == "error"


def test_writing(scene: Scene) -> None:
    """Nothing changes either: not by a simple request, a preflighted one, or a form."""
    page, path = scene.page, "/api/apps/shop/recycle"
    url = scene.admin + path
    plain: list[list[Any]] = [
        [url, "POST", "no-cors", {"Content-Type": "text/plain"}],
        [url, "POST", "cors", {"Content-Type": "text/plain"}],
        [url, "POST", "cors", {"Content-Type": "application/json", "X-Buntime-Csrf": "x"}],
        [scene.admin + "/api/session", "DELETE", "cors", {}],
    ]
    told = [page.evaluate(SEND, each) for each in plain]
    assert told == ["opaque0", "TypeError", "TypeError", "TypeError"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        with page.expect_navigation():
            page.evaluate(FORM, [url, kind])
        page.goto(f"{scene.runtime.url}/shop/page")
    found = scene.statuses(path, 5)
    assert 403 in found
    assert not [status for status in found if status < 400 and status != 204]
    assert not [each for each in scene.runtime.records if each["event"] == "worker.recycled"]
    page.goto(scene.admin + OWN_PAGE)
    assert "csrf" in page.evaluate(READ, "/api/session")  # still signed in


def test_windows_and_frames(scene: Scene) -> None:
    """An app cannot show the panel in a frame, and a page that opens it cannot look into it."""
    page, panel = scene.page, f"{scene.admin}/cpanel/"
    assert page.evaluate(FRAME, panel) == "TypeError"  # another origin: there is no document
    frames = [each.url for each in page.frames[1:]]
    assert not [url for url in frames if url.startswith(scene.admin)], frames
    assert page.evaluate(OPEN, panel) == "SecurityError"
    page.goto(f"{scene.admin}/api/workers")  # by the address bar, and then by a link of the app
    assert "workers" in page.content()
    page.goto(f"{scene.runtime.url}/shop/page")
    with page.expect_navigation():
        page.evaluate("(url) => { location.href = url; }", f"{scene.admin}/api/workers")
    assert "403 Forbidden" in page.content()


# Chromium sets cookies a moment after a script said so, or at once when they are read.
SET = "(text) => { document.cookie = text; return document.cookie; }"


def test_cookies(scene: Scene) -> None:
    """No script reads the session, no app receives it, and none can replace it."""
    page, url = scene.page, scene.runtime.url
    assert page.evaluate("document.cookie") == "own=1"
    assert json.loads(page.evaluate(READ, f"{url}/shop/"))["cookie"] == "own=1"
    opened = json.loads(page.evaluate(CONNECT, f"{url}/shop/".replace("http", "ws")))
    assert opened["cookie"] == "own=1"
    before = [each["value"] for each in scene.context.cookies(scene.admin) if each["name"] == "bt"]
    for value in ("bt=evil; Path=/", "__Host-bt=evil; Path=/; Secure", "=bt=evil; Path=/api"):
        page.evaluate("(url) => fetch(url)", f"{url}/shop/?set={value}")
    page.evaluate(SET, "bt=evil; path=/")
    after = [each["value"] for each in scene.context.cookies(scene.admin) if each["name"] == "bt"]
    assert after == before
    # A script may set a cookie for part of the address, which is then sent first.
    page.evaluate(SET, "bt=evil; path=/api")
    page.goto(scene.admin + OWN_PAGE)
    assert "csrf" in page.evaluate(READ, "/api/session")


# More than a browser keeps per host: it drops those of the lowest priority.
HUNDREDS = """(more) => {
    for (let n = 0; n < 400; n++) document.cookie = `junk${n}=x; path=/${more}`;
    return document.cookie.length;
}"""
LARGE = """() => {
    const value = "x".repeat(4000);
    for (let n = 0; n < 40; n++) document.cookie = `large${n}=${value}; path=/; max-age=99999`;
    return document.cookie.length;
}"""
SIGN_IN = """async (key) => {
    const headers = {"Content-Type": "application/json"};
    const body = JSON.stringify({key});
    return (await fetch("/api/session", {method: "POST", headers, body})).status;
}"""


def is_signed_in(page: Page, admin: str) -> bool:
    page.goto(admin + OWN_PAGE)
    return "csrf" in page.evaluate(READ, "/api/session")


def test_cookies_by_the_hundred(scene: Scene) -> None:
    """An app cannot push the session's cookie out with its own, unless these have high priority;
    then the operator has to sign in again, and can."""
    page, shop = scene.page, f"{scene.runtime.url}/shop/page"
    scene.context.clear_cookies()
    page.goto(scene.admin + OWN_PAGE)
    assert page.evaluate(SIGN_IN, OPERATORS_KEY) == 200
    for more in ("", "; Priority=Low", "; Priority=Medium"):
        page.goto(shop)
        page.evaluate(HUNDREDS, more)
        assert is_signed_in(page, scene.admin), more
    page.goto(shop)
    page.evaluate(HUNDREDS, "; Priority=High")
    assert not is_signed_in(page, scene.admin)
    assert page.evaluate(SIGN_IN, OPERATORS_KEY) == 200
    assert is_signed_in(page, scene.admin)


def test_cookies_of_more_than_a_head_may_have(scene: Scene) -> None:
    """Nor can it keep operators out for longer than that: the browser is told to delete them."""
    page = scene.page
    page.goto(f"{scene.runtime.url}/shop/page")
    page.evaluate(LARGE)
    refused = page.goto(f"{scene.admin}/cpanel/")
    assert refused is not None
    assert refused.status == 431
    assert "your browser has too many cookies" in page.content()
    again = page.goto(f"{scene.admin}/cpanel/")
    assert again is not None
    assert again.status == 200
    assert page.evaluate(SIGN_IN, OPERATORS_KEY) == 200
    assert is_signed_in(page, scene.admin)


def test_cookies_by_the_hundred_of_another_host(scene: Scene) -> None:
    """Operators who use another host name than the apps keep their session, whatever apps set."""
    page, port = scene.page, scene.admin.rpartition(":")[2]
    by_name = f"http://localhost:{port}"
    page.goto(by_name + OWN_PAGE)
    assert page.evaluate(SIGN_IN, OPERATORS_KEY) == 200
    for more in ("", "; Priority=High"):
        page.goto(f"{scene.runtime.url}/shop/page")
        page.evaluate(HUNDREDS, more)
        assert is_signed_in(page, by_name), more


def test_a_cookie_that_an_app_was_sent(scene: Scene) -> None:
    """Cookies go to all ports of a host: but an app's process cannot use one that it gets so."""
    page, url = scene.page, scene.runtime.url
    port = page.evaluate(READ, f"{url}/shop/listen")
    sent = [f"http://127.0.0.1:{port}/", "POST", "no-cors", {}]
    assert page.evaluate(SEND, sent) == "opaque0"
    admin = scene.admin.rpartition(":")[2]
    cookie, status = json.loads(page.evaluate(READ, f"{url}/shop/use?port={admin}"))
    assert "bt=" in cookie
    assert status == 401
    scene.runtime.wait_for_record("session.refused", reason="an app has started it")


def test_anothers_session(scene: Scene) -> None:
    """If a script sets an attacker's session beside the operator's, neither counts."""
    page, attacker = scene.page, Operator(scene.admin)
    attacker.sign_in(OPERATORS_KEY)
    page.evaluate(SET, f"bt={attacker.cookies['bt']}; path=/api")
    page.goto(scene.admin + OWN_PAGE)
    assert "unauthorized" in page.evaluate(READ, "/api/session")


def test_sockets(scene: Scene) -> None:
    """A WebSocket of a plugin opens only for the operators' address."""
    place = f"{scene.admin}/tool/".replace("http", "ws")
    assert scene.page.evaluate(CONNECT, place) == "error"
    scene.page.goto(scene.admin + OWN_PAGE)
    told = json.loads(scene.page.evaluate(CONNECT, place))
    assert "bt" not in told.get("cookie", "")
    assert "cookie" not in json.loads(scene.page.evaluate(READ, "/tool/"))


def test_pages_of_plugins(scene: Scene) -> None:
    """A plugin's page has no origin there, whatever its manifest says, and no rights."""
    page = scene.page
    page.goto(f"{scene.admin}/plain/")
    assert page.title() == "plain"
    assert page.evaluate("window.origin") == "null"
    assert page.evaluate(READ, f"{scene.admin}/api/session") == "TypeError"
    sent = [f"{scene.admin}/api/apps/shop/recycle", "POST", "no-cors", {}]
    assert page.evaluate(SEND, sent) == "opaque0"
    assert scene.statuses("/api/apps/shop/recycle", 1)[-1] == 403
    assert page.evaluate(COOKIE) == "SecurityError"


def test_names_that_lead_here(scene: Scene) -> None:
    """A page whose name now resolves to this machine gets nothing (DNS rebinding)."""
    port = scene.admin.rpartition(":")[2]
    answer = scene.page.goto(f"http://evil.test:{port}/cpanel/")
    assert answer is not None
    assert answer.status == 421
    assert "misdirected_request" in scene.page.evaluate(READ, "/api/session")


def test_nobody_has_seen_it(scene: Scene) -> None:
    """No hook of a plugin was shown the cookie, in these requests or in others of this file."""
    scene.page.evaluate(READ, f"{scene.runtime.url}/shop/")
    assert scene.page.goto(f"{scene.admin}/tool/").status == 200  # type: ignore[union-attr]  # it has answered
    scene.runtime.wait_for_record("plugin.output", message="saw own=1")
    seen = [each for each in scene.runtime.records if each["event"] == "plugin.output"]
    assert not [each for each in seen if "bt=" in each["message"]]
