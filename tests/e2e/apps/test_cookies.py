"""How clients get an app's cookies: in answers of each kind, in handshakes, with a pin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, running, write_app
from tests.support.rawsocket import socket_of

FETCH = """
from buntime import Response

def pieces():
    yield b"a"
    yield b"b"

def fetch(request):
    body = pieces() if request.path == "/stream" else b"whole"
    answer = Response(body)
    for value in request.query.getall("set"):
        answer.headers.add("Set-Cookie", value)
    return answer

def websocket(ws):
    ws.accept(headers=[("Set-Cookie", "a=b; Path=/")])
"""
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Set-Cookie", "a=b; Path=/"), ("SET-COOKIE", "c=d")])
    return [b""]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"set-cookie", b"a=b; Path=/"), (b"Set-Cookie", b"c=d; path=/blog")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("cookies")
    write_app(folder / "shop@1.2.0", {"app.py": FETCH}, ttl=60)
    write_app(folder / "wsgi", {"app.py": WSGI})
    write_app(folder / "asgi", {"app.py": ASGI}, ttl=60)
    write_app(folder / "shared", {"app.py": FETCH}, cookiePath="as-is")
    write_app(folder / "@acme/wiki", {"app.py": FETCH})
    write_app(folder / "host", {"app.py": FETCH})
    with running(folder, env={"RUNTIME_TRUSTED_PROXIES": "127.0.0.1"}) as started:
        yield started


def cookies(runtime: Runtime, path: str, **headers: str) -> list[str]:
    answer = fetch(runtime, path, headers=headers)
    assert answer.status == 200, answer.body
    return answer.headers.get_all("set-cookie") or []


@pytest.mark.parametrize("rest", ["", "stream"])
def test_answers(runtime: Runtime, rest: str) -> None:
    """Cookies of a whole answer and of one in pieces get the app's base as their path."""
    found = cookies(runtime, f"/shop/{rest}?set=a=b;Path=/&set=c=d&set=e=;Max-Age=0;Path=/x")
    assert found == ["a=b; Path=/shop", "c=d; Path=/shop", "e=; Path=/shop/x;Max-Age=0"]


def test_frameworks(runtime: Runtime) -> None:
    """Cookies of WSGI and ASGI apps get the base, too."""
    assert cookies(runtime, "/wsgi/") == ["a=b; Path=/wsgi", "c=d; Path=/wsgi"]
    assert cookies(runtime, "/asgi/") == ["a=b; Path=/asgi", "c=d; Path=/asgi/blog"]


def test_pins_scopes_and_prefixes(runtime: Runtime) -> None:
    """The base is the one that the client used."""
    assert cookies(runtime, "/shop@1/?set=a=b;Path=/shop/x") == ["a=b; Path=/shop@1/x"]
    assert cookies(runtime, "/shop@^1.0.0/?set=a=b") == ["a=b; Path=/shop@^1.0.0"]
    assert cookies(runtime, "/@acme/wiki/?set=a=b;Path=/") == ["a=b; Path=/@acme/wiki"]
    prefix = {"X-Forwarded-Prefix": "/tools"}
    assert cookies(runtime, "/shop/?set=a=b;Path=/", **prefix) == ["a=b; Path=/tools/shop"]
    assert cookies(runtime, "/shop/?set=a=b;Path=/shop", **prefix) == ["a=b; Path=/tools/shop"]


def test_as_is(runtime: Runtime) -> None:
    """With `cookiePath: as-is` they are not changed."""
    assert cookies(runtime, "/shared/?set=a=b;Path=/&set=c=d") == ["a=b;Path=/", "c=d"]


def test_for_the_host(runtime: Runtime) -> None:
    """A `__Host-` cookie is not changed, which is logged once."""
    for _ in range(3):
        [value] = cookies(runtime, "/host/?set=__Host-a=b;Secure;Path=/")
        assert value == "__Host-a=b;Secure;Path=/"
    record = runtime.wait_for_record("cookie.for_host")
    assert (record["app"], record["cookie"]) == ("host", "__Host-a")
    assert [each["event"] for each in runtime.records].count("cookie.for_host") == 1


@pytest.mark.parametrize("app", ["shop", "shared"])
def test_the_runtimes_own(runtime: Runtime, app: str) -> None:
    """No app sets the cookie of affinity, its own or another app's; it is logged once."""
    path = f"/{app}/?set=bt-affinity=x;Path=/shop&set=%20%3Dbt-affinity=x;Path=/&set=a=b"
    for _ in range(2):
        [value] = cookies(runtime, path)
        assert value.startswith("a=b")
    runtime.wait_for_record("cookie.reserved", app="shop@1.2.0" if app == "shop" else app)
    told = [each["app"] for each in runtime.records if each["event"] == "cookie.reserved"]
    assert len(told) == len(set(told))


def test_a_handshake(runtime: Runtime) -> None:
    """The cookies of an accepted handshake get the base, too."""
    with socket_of(runtime, "/shop/ws") as ws:
        assert b"a=b; Path=/shop" in [line.partition(b": ")[2] for line in ws.head.split(b"\r\n")]
