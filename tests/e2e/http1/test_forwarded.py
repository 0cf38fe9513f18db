"""Proxies in front of a running runtime: what apps of each kind, sites and the log see.

The runtime trusts 127.0.0.2, 127.0.0.3 and its unix socket; 127.0.0.1 is any client.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Runtime, running, write_app
from tests.support.rawclient import RawClient, Reply, request
from tests.support.rawsocket import handshake, switched

FETCH = """
from buntime import Response

def fetch(request):
    return Response.json({
        "client": request.client,
        "scheme": request.scheme,
        "host": request.host,
        "url": request.url,
        "base": request.base,
        "path": request.path,
        "fields": request.headers.items(),
    })
"""
WSGI = """
import json

def app(environ, start_response):
    start_response("200 OK", [("content-type", "application/json")])
    told = {name: value for name, value in environ.items() if isinstance(value, str)}
    return [json.dumps(told).encode()]
"""
ASGI = """
import json

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    told = {name: scope[name] for name in ("client", "scheme", "root_path", "path", "server")}
    told["raw_path"] = scope["raw_path"].decode()
    told["fields"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
"""
SOCKET = """
def websocket(ws):
    ws.send_json({"client": ws.client, "scheme": ws.scheme, "url": ws.url, "base": ws.base})
"""
ASGI_SOCKET = """
import json

async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    told = {"client": scope["client"], "scheme": scope["scheme"], "base": scope["root_path"]}
    host = dict(scope["headers"])[b"host"].decode()
    told["url"] = scope["scheme"] + "://" + host + scope["path"]
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(told)})
    await receive()
"""
CLIENT = "203.0.113.7"
BY_PROXY = (
    "X-Forwarded-For: 198.51.100.9, 203.0.113.7, 127.0.0.3",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.example",
    "X-Forwarded-Prefix: /tools",
)
FORGED = (
    *BY_PROXY,
    "Forwarded: for=198.51.100.9;proto=https;host=evil.example",
    "X-Real-IP: 198.51.100.9",
    "X-Forwarded-User: root",
    "X_Forwarded_For: 198.51.100.9",
    "X-Base: /evil",
)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "fetch", {"app.py": FETCH}, ttl=600)
    write_app(folder / "wsgi", {"app.py": WSGI}, ttl=600)
    write_app(folder / "asgi", {"app.py": ASGI}, ttl=600)
    write_app(folder / "socket", {"app.py": SOCKET}, ttl=600)
    write_app(folder / "asgi_socket", {"app.py": ASGI_SOCKET}, ttl=600)
    write_app(folder / "site", {"index.html": "<head></head>", "docs/index.html": "docs"})
    env = {
        "RUNTIME_LISTEN": f"127.0.0.1:0 unix:{folder.parent / 's'}",
        "RUNTIME_TRUSTED_PROXIES": "127.0.0.2, 127.0.0.3, unix",
    }
    with running(folder, env=env) as runtime:
        yield runtime


@contextlib.contextmanager
def coming_from(runtime: Runtime, source: str) -> Iterator[RawClient]:
    """A client with this address; "unix" connects to the unix socket."""
    if source == "unix":
        sock = socket.socket(socket.AF_UNIX)
        address: Any = runtime.wait_for_record("runtime.listening")["urls"][1].removeprefix("unix:")
    else:
        sock = socket.socket()
        sock.bind((source, 0))
        address = ("127.0.0.1", runtime.port)
    with sock:
        sock.settimeout(15)
        sock.connect(address)
        yield RawClient(sock, runtime)


def get(runtime: Runtime, source: str, target: str, *fields: str) -> Reply:
    with coming_from(runtime, source) as client:
        return client.get(target, *fields)


def fields_of(told: dict[str, Any], *names: str) -> list[str | None]:
    return [dict(told["fields"]).get(name) for name in names]


@pytest.mark.parametrize("source", ["127.0.0.2", "unix"])
def test_a_function_behind_a_proxy(runtime: Runtime, source: str) -> None:
    """A Request, and its URL, have the client, scheme, host and base that the client uses."""
    told = get(runtime, source, "/fetch/a%20b?q=1", *BY_PROXY).json
    assert told["client"] == [CLIENT, 0]
    assert (told["scheme"], told["host"]) == ("https", "shop.example")
    assert told["url"] == "https://shop.example/tools/fetch/a%20b?q=1"
    assert (told["base"], told["path"]) == ("/tools/fetch", "/a b")
    assert fields_of(told, "x-base", "host") == ["/tools/fetch", "shop.example"]
    assert fields_of(told, "x-forwarded-for", "x-forwarded-proto") == [CLIENT, "https"]


def test_wsgi_behind_a_proxy(runtime: Runtime) -> None:
    """A WSGI app finds them in its environ."""
    environ = get(runtime, "127.0.0.2", "/wsgi/a%20b?q=1", *BY_PROXY).json
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (CLIENT, "https")
    assert "REMOTE_PORT" not in environ  # no field says which
    assert environ["HTTP_HOST"] == environ["HTTP_X_FORWARDED_HOST"] == "shop.example"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/tools/wsgi", "/a b")
    assert environ["REQUEST_URI"] == "/tools/wsgi/a%20b?q=1"
    assert environ["HTTP_X_FORWARDED_FOR"] == CLIENT
    assert "HTTP_X_FORWARDED_PREFIX" not in environ  # SCRIPT_NAME has it already


def test_asgi_behind_a_proxy(runtime: Runtime) -> None:
    """An ASGI app finds them in its scope; the path includes the root_path, as its spec says."""
    told = get(runtime, "127.0.0.2", "/asgi/a%20b", *BY_PROXY).json
    assert (told["client"], told["scheme"]) == ([CLIENT, 0], "https")
    assert (told["root_path"], told["path"]) == ("/tools/asgi", "/tools/asgi/a b")
    assert told["raw_path"] == "/tools/asgi/a%20b"
    assert told["server"] == ["127.0.0.1", runtime.port]
    assert fields_of(told, "host", "x-forwarded-proto") == ["shop.example", "https"]


@pytest.mark.parametrize("app", ["socket", "asgi_socket"])
@pytest.mark.parametrize(
    ("source", "client", "base"),
    [
        ("127.0.0.2", [CLIENT, 0], "wss://shop.example/tools"),
        ("unix", [CLIENT, 0], "wss://shop.example/tools"),
        ("127.0.0.1", None, "ws://a"),
    ],
)
def test_a_websocket_behind_a_proxy(
    runtime: Runtime, app: str, source: str, client: list[object] | None, base: str
) -> None:
    """Behind a proxy that ends TLS a WebSocket is wss; a stranger's fields are not believed."""
    with coming_from(runtime, source) as raw:
        raw.send(handshake(f"/{app}/x", *BY_PROXY))
        told = json.loads(switched(raw).read_text())
    assert told["client"] == (client or [source, told["client"][1]])
    assert told["url"] == f"{base}/{app}/x"
    assert told["scheme"] == base.partition(":")[0]
    assert told["base"] == (f"/tools/{app}" if client else f"/{app}")


def test_forwarded_behind_a_proxy(runtime: Runtime) -> None:
    """RFC 7239's Forwarded says the same."""
    field = 'Forwarded: for="198.51.100.9, for="203.0.113.7:99";proto=https;host=shop.example'
    told = get(runtime, "127.0.0.3", "/fetch/", field).json
    assert told["client"] == [CLIENT, 99]
    assert told["url"] == "https://shop.example/fetch/"
    assert "forwarded" not in dict(told["fields"])


@pytest.mark.parametrize("app", ["fetch", "asgi", "wsgi"])
def test_what_others_say_changes_nothing(runtime: Runtime, app: str) -> None:
    """An app sees the same request, whatever an untrusted client claims: its forwarding fields are
    replaced by true ones."""
    with coming_from(runtime, "127.0.0.1") as client:
        plain = client.get(f"/{app}/x", "X-Request-ID: 12345678").json
        forged = client.get(f"/{app}/x", *FORGED, "X-Request-ID: 12345678").json
    assert forged == plain
    assert "127.0.0.1" in (plain.get("REMOTE_ADDR"), *(plain.get("client") or ()))
    assert "https" not in str(plain)
    fields = plain.get("fields") or [
        (name[5:].replace("_", "-").lower(), value)
        for name, value in plain.items()
        if name.startswith("HTTP_")
    ]
    assert {name: value for name, value in fields if "forwarded" in name} == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "localhost",
    }


def test_the_operator_is_told_once(tmp_path: Path) -> None:
    """Forwarding fields that are not trusted cause one warning, which names the setting."""
    write_app(tmp_path / "fetch", {"app.py": FETCH}, ttl=600)
    with running(tmp_path) as runtime:
        for fields in ((), ("X-Base: /x",), FORGED, FORGED):
            assert get(runtime, "127.0.0.1", "/fetch/", *fields).status == 200
        record = runtime.wait_for_record("proxy.untrusted")
        assert (record["level"], record["client"]) == ("warn", "127.0.0.1")
        assert runtime.stop() == 0
        assert [each["event"] for each in runtime.records].count("proxy.untrusted") == 1


def test_each_request_has_its_own_client(runtime: Runtime) -> None:
    """A proxy sends the requests of many clients on one connection."""
    with coming_from(runtime, "127.0.0.2") as proxy:
        for address in ("198.51.100.1", "2001:db8::1", "198.51.100.2"):
            told = proxy.get("/fetch/", f"X-Forwarded-For: {address}").json
            assert told["client"] == [address, 0]
        assert proxy.get("/fetch/").json["client"][0] == "127.0.0.2"


def test_the_access_log(runtime: Runtime) -> None:
    """The log has the true client, for apps, sites and the runtime's own pages."""
    for number, target in enumerate(("/fetch/", "/site/", "/health", "/nothing/")):
        address = f"198.51.100.{100 + number}"
        get(runtime, "127.0.0.2", target, f"X-Forwarded-For: {address}, 127.0.0.3")
        assert runtime.wait_for_record("request.access", client=address)["path"] == target
        name = f"forged-client-{number}"
        get(runtime, "127.0.0.1", target, f"X-Forwarded-For: {address}", f"X-Request-ID: {name}")
        assert runtime.wait_for_record("request.access", request_id=name)["client"] == "127.0.0.1"


def test_a_site_behind_a_prefix(runtime: Runtime) -> None:
    """Redirects and <base href> of a static site include the prefix that the proxy removed."""
    prefix = "X-Forwarded-Prefix: /tools/"
    assert b'<base href="/tools/site/">' in get(runtime, "127.0.0.2", "/site/", prefix).body
    assert get(runtime, "127.0.0.2", "/site", prefix).get("location") == "/tools/site/"
    docs = get(runtime, "127.0.0.2", "/site/docs", prefix)
    assert docs.get("location") == "/tools/site/docs/"
    assert b'<base href="/site/">' in get(runtime, "127.0.0.1", "/site/", prefix).body
    assert get(runtime, "127.0.0.1", "/site", prefix).get("location") == "/site/"
    evil = "X-Forwarded-Prefix: //evil.example"
    assert get(runtime, "127.0.0.2", "/site", evil).get("location") == "/site/"


def test_discovery_behind_a_prefix(runtime: Runtime) -> None:
    """Discovery gives the API's path as the client reaches it."""
    told = get(runtime, "127.0.0.2", "/.well-known/buntime", "X-Forwarded-Prefix: /tools").json
    assert told["api"] == "/tools/api"


@pytest.mark.parametrize(
    ("source", "fields", "status"),
    [
        ("127.0.0.1", (), 200),
        ("127.0.0.2", (), 200),
        ("127.0.0.1", ("X-Forwarded-For: 127.0.0.1",), 403),
        ("127.0.0.2", ("X-Forwarded-For: 127.0.0.1",), 403),
        ("127.0.0.2", ("X-Forwarded-For: 203.0.113.7", "Connection: X-Forwarded-For"), 403),
        ("127.0.0.2", ("Forwarded: for=127.0.0.1",), 403),
        ("127.0.0.2", ("Via: 1.1 p", "Connection: close, via"), 403),
        ("unix", ("X-Forwarded-Proto: https",), 403),
    ],
)
def test_the_operators_pages(
    runtime: Runtime, source: str, fields: tuple[str, ...], status: int
) -> None:
    """Without a key these pages answer direct requests of this machine, not a trusted proxy's."""
    assert get(runtime, source, "/api/workers", *fields).status == status


def test_a_faulty_request_by_a_proxy(runtime: Runtime) -> None:
    """Nothing is believed of what is no valid request: the log has the peer's address."""
    with coming_from(runtime, "127.0.0.2") as proxy:
        proxy.send(request("GET /fetch/", "X-Forwarded-For: 1.2.3.4").replace(b" HTTP/1.1", b" H"))
        assert proxy.read().status == 400
    assert runtime.wait_for_record("request.access", status=400)["client"] == "127.0.0.2"
