"""With `buntime.testing` an app sees, and a client gets, the same as with a runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from buntime.testing import Client
from tests.support.harness import Runtime, running, write_app
from tests.support.rawclient import client_of

FETCH = """
import os
from buntime import Response

def pieces():
    yield b"a" * 100_000
    yield b"b"

def fetch(request):
    if request.path == "/stream":
        return Response(pieces())
    if request.path == "/page":
        return Response.html("<html><head></head><a href=x>x</a></html>")
    if request.path == "/leave":
        return Response.redirect(request.base + "/page", 303)
    if request.path == "/nothing":
        return Response(None, 204)
    if request.path == "/cookies":
        made = Response.json(request.cookies)
        made.set_cookie("a", "1", path="/")
        made.headers.add("Set-Cookie", "b=2")
        return made
    if request.path == "/host":
        return Response("", headers={"Clear-Site-Data": "*", "Service-Worker-Allowed": "/"})
    if request.path == "/events":
        return Response.events(["one", {"two": 2}])
    if request.path == "/json":
        return Response.json(request.json())
    if request.path == "/form":
        return Response.json([[name, str(value)] for name, value in request.form().items()])
    if request.path == "/fail":
        raise KeyError("secret")
    return Response.json({
        "method": request.method, "target": request.target, "base": request.base,
        "path": request.path, "query": request.query.items(), "headers": request.headers.items(),
        "scheme": request.scheme, "client": request.client[0], "host": request.host,
        "id": request.id, "url": request.url, "body": request.bytes().decode("latin-1"),
        "env": {name: os.environ.get(name) for name in ("APP_BASE", "ENTRYPOINT", "COLOUR")},
        "cwd": os.path.basename(os.getcwd()),
    }, headers={"X-Made-By": "fetch"})
"""
ASYNC = FETCH.replace("def fetch", "async def fetch").replace("def pieces", "async def pieces")
for _name in ("bytes", "json", "form"):
    ASYNC = ASYNC.replace(f"request.{_name}()", f"(await request.{_name}())")
WSGI = """
import json

SEEN = ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "SERVER_NAME",
        "SERVER_PROTOCOL", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR", "REQUEST_URI",
        "wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once")

def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise KeyError("secret")
    seen = {name: environ.get(name) for name in SEEN}
    seen |= {name: value for name, value in environ.items() if name.startswith("HTTP_")}
    seen["body"] = environ["wsgi.input"].read().decode("latin-1")
    body = json.dumps(seen).encode()
    headers = [("Content-Type", "application/json"), ("Set-Cookie", "a=1; Path=/")]
    start_response("201 Made", headers)
    return [body[:10], body[10:]]
"""
ASGI = """
import json

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"].endswith("/fail"):
        raise KeyError("secret")
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    seen = {name: scope[name] for name in
            ("type", "asgi", "http_version", "method", "scheme", "path", "root_path")}
    seen["raw_path"], seen["query"] = scope["raw_path"].decode(), scope["query_string"].decode()
    seen["headers"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    seen["body"], seen["client"] = body.decode("latin-1"), scope["client"][0]
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
"""
APPS = {
    "fetch": {"app.py": FETCH, "static/a.css": "a {}"},
    "once": {"app.py": FETCH},
    "async": {"app.py": ASYNC},
    "wsgi": {"app.py": WSGI},
    "asgi": {"app.py": ASGI},
    "site": {
        "index.html": "<html><head></head><a href=x>x</a></html>",
        "style.css": "a {}",
        "docs/index.html": "docs",
    },
}
MANIFESTS: dict[str, dict[str, object]] = {
    "fetch": {"ttl": 60, "static": {"/static": "static"}, "maxBodySize": "64kb"},
    "async": {"ttl": 60, "injectBase": True},
    "wsgi": {"ttl": 60},
    "asgi": {"ttl": 60},
}


class Case(NamedTuple):
    """A request to compare."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


JSON, FORM = "application/json", "application/x-www-form-urlencoded"
CASES = [
    Case("GET", "/"),
    Case("GET", ""),
    Case("GET", "/a%20b/%C3%A9?q=1&q=2&empty=&plus=a+b"),
    Case("HEAD", "/"),
    Case("OPTIONS", "/"),
    Case("DELETE", "/thing/1"),
    Case("PUT", "/thing/1", body=b"\x00\xff" * 10),
    Case("POST", "/", (("Content-Type", "text/plain"),), b"hello"),
    Case("POST", "/json", (("Content-Type", JSON),), b'{"a": [1, 2]}'),
    Case("POST", "/json", (("Content-Type", JSON),), b'{"a": '),
    Case("POST", "/form", (("Content-Type", FORM),), b"a=1&b=%C3%A9"),
    Case("POST", "/", body=b"x" * 200_000),
    Case("GET", "/stream"),
    Case("HEAD", "/stream"),
    Case("GET", "/page"),
    Case("GET", "/leave"),
    Case("GET", "/nothing"),
    Case("GET", "/cookies", (("Cookie", 'c=3; d="4"'),)),
    Case("GET", "/host"),
    Case("GET", "/events"),
    Case("GET", "/fail", (("Accept", "text/html"),)),
    Case("GET", "/fail"),
    Case(
        "GET",
        "/",
        (("X-Forwarded-For", "192.0.2.1"), ("X-Base", "/made-up"), ("Forwarded", "for=a")),
    ),
    Case("GET", "/", (("Connection", "close, X-Gone"), ("X-Gone", "1"), ("TE", "trailers"))),
    Case("GET", "/", (("X-Twice", "1"), ("X-Twice", "2"), ("X-Latin", "caf\xe9"))),
    Case("GET", "/", (("Authorization", "Basic YTpi"), ("Accept-Language", "de"))),
    Case("GET", "/static/a.css"),
    Case("GET", "/style.css"),
    Case("GET", "/docs"),
    Case("GET", "/docs/", (("Accept", "text/html"),)),
    Case("GET", "/style.css", (("Range", "bytes=0-1"),)),
    Case("GET", "/../etc/passwd"),
    Case("GET", "/missing.css"),
    Case("POST", "/style.css", body=b"x"),
]
# A worker for each request is slow, and sees requests as other workers do.
FEW = [case for case in CASES if case.path in ("/", "/stream", "/fail")]
# These depend on the connection and the time.
NOT_COMPARED = {"date", "last-modified", "connection", "keep-alive"}
Seen = tuple[int, list[tuple[str, str]], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("parity")
    for name, files in APPS.items():
        write_app(made / name, files, env={"COLOUR": "blue"}, **MANIFESTS.get(name, {}))
    return made


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    with running(folder, env={"RUNTIME_ENV": "test"}) as started:
        yield started


@pytest.mark.parametrize("name", APPS)
def test_the_same(name: str, folder: Path, runtime: Runtime) -> None:
    """Each request gets the same answer: status, fields and body, from an app that saw the same."""
    different = []
    with Client(folder / name, raise_errors=False) as client:
        for number, case in enumerate(FEW if name == "once" else CASES):
            client.cookies.clear()  # the runtime's client keeps none
            id_ = f"parity-{number:04}"
            ours, theirs = of_client(client, case, id_), of_runtime(runtime, name, case, id_)
            if ours != theirs:
                different.append((case, ours, theirs))
    assert different == []


def of_client(client: Client, case: Case, id_: str) -> Seen:
    headers = [*case.headers, ("X-Request-Id", id_)]
    response = client.request(case.method, case.path, headers=headers, content=case.body or None)
    return compared(response.status, response.headers.items(), response.body or b"")


def of_runtime(runtime: Runtime, name: str, case: Case, id_: str) -> Seen:
    named = {each.lower() for each, _ in case.headers}
    usual = {"Accept": "*/*", "User-Agent": "buntime-testing"}
    fields = [f"{each}: {value}" for each, value in usual.items() if each.lower() not in named]
    fields += [f"{each}: {value}" for each, value in case.headers]
    fields.append(f"X-Request-Id: {id_}")
    if case.body:
        fields.append(f"Content-Length: {len(case.body)}")
    with client_of(runtime) as raw:
        line = f"{case.method} /{name}{case.path}"
        head = "\r\n".join([f"{line} HTTP/1.1", "Host: testserver", *fields, "", ""])
        raw.send(head.encode("latin-1") + case.body)
        reply = raw.read(case.method)
    return compared(reply.status, reply.fields, reply.body)


def compared(status: int, headers: Any, body: bytes) -> Seen:
    kept = [(name.lower(), value) for name, value in headers]
    kept = sorted(pair for pair in kept if pair[0] not in NOT_COMPARED)
    if ("content-type", "application/json") not in kept or not body:
        return status, kept, body
    told = json.loads(body)
    return status, kept, told
