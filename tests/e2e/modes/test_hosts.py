"""Apps at `/` of their own hosts.

Those with a framework are in test_frameworks.py, `test_at_the_root_of_a_host`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.client import Answer, fetch
from tests.support.harness import Runtime, read_until, running, write_app
from tests.support.rawclient import client_of

ECHO = """
from buntime import Response
def fetch(request):
    answer = Response.json({
        "path": request.path, "base": request.base, "url": request.url,
        "fields": dict(request.headers.items()),
    })
    answer.set_cookie("sid", "1")
    return answer
"""
SOCKET = """
def fetch(request): return None
def websocket(ws):
    ws.accept()
    ws.send(ws.path + " " + ws.base)
"""
ROUTES = """
from buntime import Response
routes = {"/": Response("home"), "/api/:name": lambda request: Response(request.params["name"])}
"""
VITE = """<!doctype html><html><head><title>built</title>
<script type="module" crossorigin src="/assets/index-BzX1.js"></script></head><body></body></html>
"""
SHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    root = tmp_path_factory.mktemp("apps")
    write_app(root / "echo", {"app.py": ECHO}, ttl=600, hosts=["echo.example.com", "*.echo.test"])
    write_app(root / "socket", {"app.py": SOCKET}, ttl=600, hosts=["socket.example.com"])
    write_app(root / "routes", {"app.py": ROUTES}, ttl=600, hosts=["routes.example.com"])
    site = {
        "index.html": VITE,
        "assets/index-BzX1.js": "1",
        "robots.txt": "all",
        "favicon.ico": "icon",
        ".well-known/security.txt": "mail",
        "docs/index.html": "docs",
    }
    write_app(root / "site", site, hosts=["bücher.example"])
    write_app(root / "faulty", {"app.py": ""}, hosts=["faulty.example.com"], timeout="soon")
    write_app(root / "empty", {}, hosts=["empty.example.com"])
    write_app(root / "front", {"app.py": ECHO}, ttl=600)
    env = {"RUNTIME_ENV": "production", "RUNTIME_DEFAULT_APP": "front"}
    with running(root, env=env) as started:
        yield started


def get(runtime: Runtime, host: str, path: str, method: str = "GET", **headers: str) -> Answer:
    return fetch(runtime, path, method=method, headers={"Host": host, **headers})


def test_what_an_app_sees(runtime: Runtime) -> None:
    """The base is empty, and path and URL are the client's; below `/name/` nothing changes."""
    answer = get(runtime, "Echo.Example.com:8443", "/api/health?x=1", **{"X-Vhost-Tenant": "b"})
    told = answer.json()
    assert (told["path"], told["base"]) == ("/api/health", "")
    assert told["url"] == "http://Echo.Example.com:8443/api/health?x=1"
    assert told["fields"]["x-base"] == ""
    assert "x-vhost-tenant" not in told["fields"]
    assert str(answer.headers["set-cookie"]).startswith("sid=1; Path=/;")
    tenant = get(runtime, "ann.echo.test.", "/").json()["fields"]
    assert tenant["x-vhost-tenant"] == "ann"
    below = get(runtime, "localhost", "/echo/api/health")
    assert (below.json()["path"], below.json()["base"]) == ("/api/health", "/echo")
    assert str(below.headers["set-cookie"]).startswith("sid=1; Path=/echo;")
    assert get(runtime, "routes.example.com", "/").body == b"home"
    assert get(runtime, "routes.example.com", "/api/x").body == b"x"


def test_a_websocket(runtime: Runtime) -> None:
    """A WebSocket's handshake is routed by host too."""
    fields = ("Host: socket.example.com", *SHAKE, "", "")
    with runtime.connect() as sock:
        sock.sendall("\r\n".join(("GET /api/x HTTP/1.1", *fields)).encode())
        said = read_until(sock, b"/api/x ")
    assert said.startswith(b"HTTP/1.1 101 ")
    assert b"\r\n\r\n\x81\x07/api/x " in said


def test_a_site(runtime: Runtime) -> None:
    """A build with absolute links works; so do robots.txt, .well-known, folders and navigations."""
    host = "xn--bcher-kva.example"
    assert get(runtime, host, "/assets/index-BzX1.js").body == b"1"
    assert get(runtime, host, "/robots.txt").body == b"all"
    assert get(runtime, host, "/favicon.ico").body == b"icon"
    assert get(runtime, host, "/.well-known/security.txt").body == b"mail"
    assert get(runtime, host, "/docs").headers["location"] == "/docs/"
    for path in ("/", "/some/page"):
        assert b"/assets/index-BzX1.js" in get(runtime, host, path, Accept="text/html").body
    assert get(runtime, host, "//evil.example/..").status == 404


def test_the_default_app(runtime: Runtime) -> None:
    """On other hosts the default app gets `/` and paths that name no app; others go as usual."""
    for path in ("/", "/x", "/robots.txt", "/.well-known/security.txt", "//echo/x"):
        told = get(runtime, "localhost", path).json()
        assert (told["base"], told["fields"]["x-base"]) == ("", "")
    assert get(runtime, "localhost", "/echo/").json()["base"] == "/echo"
    assert get(runtime, "localhost", "/api/health").json()["status"] == "ok"
    assert get(runtime, "echo.example.com", "/.well-known/buntime/health").json() == {
        "status": "ok"
    }


@pytest.mark.parametrize("name", ["faulty", "empty"])
def test_a_faulty_app(runtime: Runtime, name: str) -> None:
    """A faulty app still owns its host: no other app gets its visitors and their cookies."""
    answer = get(runtime, f"{name}.example.com", "/")
    assert (answer.status, answer.error["code"]) == (500, "app_misconfigured")


HOSTILE = [
    (("Host: echo.example.com", "Host: localhost"), "/x", "1.1", 400),
    ((), "/x", "1.1", 400),
    (("Host: user@echo.example.com",), "/x", "1.1", 400),
    (("Host: echo.example.com, localhost",), "/x", "1.1", 400),
    (("Host: " + "a" * 60_000 + ".echo.test",), "/x", "1.1", "front"),
    ((), "/x", "1.0", "front"),
    (("Host: ech%6f.example.com",), "/x", "1.1", "front"),
    (("Host: a.b.echo.test",), "/x", "1.1", "front"),
    (("Host: echo.example.com..",), "/x", "1.1", "front"),
    (("Host: [::1]",), "/x", "1.1", "front"),
    (("Host: localhost", "X-Forwarded-Host: echo.example.com"), "/x", "1.1", "front"),
    (("Host: localhost",), "http://echo.example.com/x", "1.1", "echo"),
    (("Host: echo.example.com",), "http://localhost/x", "1.1", "front"),
    (("Host: echo.example.com",), "http://user@localhost/x", "1.1", 400),
    (("Host: ECHO.EXAMPLE.COM.:00080",), "/x", "1.1", "echo"),
]


@pytest.mark.parametrize(("fields", "target", "version", "outcome"), HOSTILE)
def test_hostile_hosts(
    runtime: Runtime, fields: tuple[str, ...], target: str, version: str, outcome: int | str
) -> None:
    """A missing, doubled, endless or disguised host leads to no app but the one that it names."""
    with client_of(runtime) as client:
        client.send(f"GET {target} HTTP/{version}\r\n".encode())
        client.send("".join(f"{field}\r\n" for field in (*fields, "")).encode())
        reply = client.read()
    if isinstance(outcome, int):
        assert reply.status == outcome
        return
    assert reply.status == 200
    entry = runtime.wait_for_record("request.access", request_id=reply.get("x-request-id"))
    assert entry["app"] == outcome


def test_what_is_logged_and_counted(runtime: Runtime) -> None:
    """The log names the app as it does below its own path, and metrics have no other labels."""
    answer = get(runtime, "echo.example.com", "/metrics")
    entry = runtime.wait_for_record("request.access", request_id=answer.headers["x-request-id"])
    assert (entry["app"], entry["path"], entry["status"]) == ("echo", "/metrics", 200)
    text = fetch(runtime, "/metrics").body.decode()
    assert re.search(r'^buntime_requests_total\{[^}]*app="echo"', text, re.MULTILINE)
    assert "example.com" not in text
