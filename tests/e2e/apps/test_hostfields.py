"""What apps of each kind can tell browsers about a host that they share, or have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chromium import launched, needs_chromium
from tests.support.client import fetch
from tests.support.harness import Runtime, running, write_app
from tests.support.rawsocket import socket_of

CLEAR, HSTS, SCOPE = "Clear-Site-Data", "Strict-Transport-Security", "Service-Worker-Allowed"
FIELDS = {CLEAR: '"*"', HSTS: "max-age=60; includeSubDomains", SCOPE: "/", "Refresh": "60"}
FETCH = f"""
from buntime import Response

def fetch(request):
    body = iter([b"a", b"b"]) if request.path == "/stream" else b"whole"
    return Response(body, headers={FIELDS})

def websocket(ws):
    ws.accept(headers=list({FIELDS}.items()))
"""
WSGI = f"""
def app(environ, start_response):
    start_response("200 OK", list({FIELDS}.items()))
    return [b""]
"""
ASGI = f"""
HEADERS = [(name.encode(), value.encode()) for name, value in {FIELDS}.items()]

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200, "headers": HEADERS}})
        await send({{"type": "http.response.body", "body": b""}})
"""
# Its service worker answers for every page that it may.
TAKER = """
from buntime import Response

JS = (
    "self.addEventListener('fetch', (event) => event.respondWith(new Response('taken')));"
    "self.addEventListener('activate', (event) => event.waitUntil(clients.claim()));"
)

def fetch(request):
    if "js" in request.query:
        headers = {"Content-Type": "text/javascript", "Cache-Control": "max-age=3600"}
        return Response(JS, headers=headers)
    return Response.html("<!doctype html><title>taker</title>")
"""
REGISTER = """async ([script, scope]) => {
    await (await fetch(script)).text();  // so that it is in the cache
    try {
        const options = {scope, updateViaCache: "all"};
        return new URL((await navigator.serviceWorker.register(script, options)).scope).pathname;
    } catch (error) { return error.name; }
}"""
HOST = {"Host": "own.example.com"}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("hostfields")
    hosts = ["own.example.com"]
    write_app(folder / "shop@1.2.0", {"app.py": FETCH}, ttl=60, hosts=hosts)
    write_app(folder / "wsgi", {"app.py": WSGI})
    write_app(folder / "asgi", {"app.py": ASGI}, ttl=60)
    pages = {"index.html": "<p>", "sw.js": ""}
    write_app(folder / "site", pages, headers={"/**": FIELDS}, hosts=["site.example.com"])
    files = {"app.py": WSGI, "files/sw.js": ""}
    write_app(folder / "mixed", files, headers={"/**": FIELDS}, static={"/static": "files"})
    write_app(folder / "taker", {"app.py": TAKER}, ttl=60, shell=True)
    write_app(folder / "@acme/taker", {"app.py": TAKER}, ttl=60)
    with running(folder) as started:
        yield started


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/shop/", "/shop/"),
        ("/shop", "/shop/"),
        ("/shop?x", "/shop/"),
        ("/shop/stream", "/shop/"),
        ("/shop@1/", "/shop@1/"),
        ("/wsgi/", "/wsgi/"),
        ("/asgi/", "/asgi/"),
        ("/site/", "/site/"),
        ("/site/sw.js", "/site/"),
        ("/mixed/static/sw.js", "/mixed/"),
    ],
)
def test_at_a_path(runtime: Runtime, path: str, scope: str) -> None:
    """An app below a path says nothing about its host, whose service worker it cannot be."""
    for _ in range(2):
        headers = fetch(runtime, path).headers
        assert (headers[CLEAR], headers[HSTS]) == (None, None)
        assert headers.get_all(SCOPE) == [scope]
        assert headers["Refresh"] == "60"


@pytest.mark.parametrize(
    ("path", "host"), [("/", "own.example.com"), ("/stream", "own.example.com"),
                       ("/sw.js", "site.example.com")]
)  # fmt: skip
def test_at_its_own_host(runtime: Runtime, path: str, host: str) -> None:
    """An app that has its host to itself says what it likes."""
    headers = fetch(runtime, path, headers={"Host": host}).headers
    assert {name: headers[name] for name in FIELDS} == FIELDS


def test_a_handshake(runtime: Runtime) -> None:
    """Nor does an accepted handshake say anything about the host: browsers heed it there too."""
    with socket_of(runtime, "/shop/ws") as ws:
        head = ws.head.lower()
    assert b"refresh: 60" in head
    assert HSTS.lower().encode() not in head


def test_the_log_says_so_once(runtime: Runtime) -> None:
    """Once for each field of each app, and says what to do."""
    for _ in range(3):
        fetch(runtime, "/wsgi/")
    record = runtime.wait_for_record("header.for_host", app="wsgi", header=CLEAR.lower())
    assert "hosts" in record["hint"]
    told = [
        each["header"]
        for each in runtime.records
        if each["event"] == "header.for_host" and each["app"] == "wsgi"
    ]
    assert sorted(told) == [CLEAR.lower(), HSTS.lower()]


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/taker", "/taker/"),
        ("/taker?js", "/taker/"),
        ("/t%61ker", "/t%61ker/"),
        ("/taker@latest", "/taker@latest/"),
        ("/@acme/taker", "/@acme/taker/"),
        ("/.well-known/buntime/frame/taker", "/taker/"),
    ],
)
def test_at_the_base_itself(runtime: Runtime, path: str, scope: str) -> None:
    """Browsers would take the folder of such a script for its scope: the field says otherwise."""
    assert fetch(runtime, path).headers.get_all(SCOPE) == [scope]
    assert fetch(runtime, f"{path.partition('?')[0]}/x").headers[SCOPE] is None


@needs_chromium
def test_no_service_worker_for_others(runtime: Runtime) -> None:
    """In a browser, no script of an app at a path answers for other apps, cached or not."""
    with launched() as browser:
        page = browser.new_page()
        page.goto(f"{runtime.url}/taker/")
        for script in ("/taker?js", "/t%61ker?js", "/taker@latest?js", "/taker/x?js"):
            assert page.evaluate(REGISTER, [script, "/"]) == "SecurityError", script
        assert page.evaluate(REGISTER, ["/@acme/taker?js", "/@acme/"]) == "SecurityError"
        assert page.evaluate(REGISTER, ["/taker?js", "/taker/"]) == "/taker/"
        page.goto(f"{runtime.url}/wsgi/")
        assert "taken" not in page.content()
