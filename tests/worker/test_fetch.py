"""Kind fetch: a Request in, a Response out, sync and async."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.workshop import Workshop

# The same app twice: what follows must hold for both engines.
SYNC = """
import json, os, sys
from buntime import Request, Response

def answer(request):
    return Response.json({
        "method": request.method, "path": request.path, "base": request.base, "url": request.url,
        "query": request.query.items(), "headers": request.headers.items(),
        "cookies": request.cookies, "client": request.client, "id": request.id,
        "params": request.params, "kind": type(request).__name__,
    })

def pieces():
    yield "one "
    yield b""
    yield b"two "
    yield "thr\\u00e9e"

def declared():
    yield b"12345"
    yield b"67890"

def failing():
    yield b"begun"
    raise KeyError("middle")

def fetch(request):
    match request.path:
        case "/request": return answer(request)
        case "/body": return Response(request.bytes())
        case "/json": return Response.json(request.json())
        case "/form": return Response.json({k: str(v) for k, v in request.form().items()})
        case "/stream-in": return Response(str(sum(map(len, request.stream()))))
        case "/pieces": return Response(pieces())
        case "/list": return Response(["a", b"b"])
        case "/declared": return Response(declared(), headers={"content-length": "10"})
        case "/too-long": return Response(declared(), headers={"content-length": "7"})
        case "/too-short": return Response(declared(), headers={"content-length": "12"})
        case "/wrong": return Response(b"abc", headers={"content-length": "2"})
        case "/large": return Response(b"x" * 300_000)
        case "/file": return Response.file(__file__)
        case "/repeats":
            response = Response("ok")
            response.set_cookie("a", "1")
            response.set_cookie("b", "2")
            return response
        case "/empty": return Response(None, 204)
        case "/raise": raise ValueError("a fault")
        case "/exit": sys.exit(3)
        case "/failing": return Response(failing())
        case "/none": return None
        case "/dict": return {"a": 1}
        case "/int-piece": return Response(iter([1]))
        case "/huge-head": return Response("x", headers={"x-big": "y" * 2_000_000})
"""
ASYNC = (
    SYNC.replace("def fetch", "async def fetch")
    .replace("request.bytes()", "await request.bytes()")
    .replace("request.json()", "await request.json()")
    .replace("request.form()", "(await request.form())")
    .replace("sum(map(len, request.stream()))", "sum([len(p) async for p in request.stream()])")
    .replace("def pieces", "async def pieces")
    .replace("def declared", "async def declared")
    .replace("def failing", "async def failing")
)


@pytest.fixture(params=["sync", "async"])
def source(request: pytest.FixtureRequest) -> str:
    return SYNC if request.param == "sync" else ASYNC


def test_request_is_complete(shop: Workshop, source: str) -> None:
    """A Request has everything that the client sent, with repeated fields and in order."""
    headers = [("host", "example.com"), ("x-a", "1"), ("cookie", "c=d"), ("x-a", "2")]
    seen = shop.start(source).get("/shop/request?q=1&q=a+b", headers=headers).json
    kind = "Request" if source is SYNC else "AsyncRequest"
    assert seen == {
        "method": "GET",
        "path": "/request",
        "base": "/shop",
        "url": "http://example.com/shop/request?q=1&q=a+b",
        "query": [["q", "1"], ["q", "a b"]],
        "headers": [*map(list, headers), ["x-base", "/shop"]],
        "cookies": {"c": "d"},
        "client": ["203.0.113.7", 50123],
        "id": "req-1",
        "params": {},
        "kind": kind,
    }


def test_bodies_arrive(shop: Workshop, source: str) -> None:
    """bytes, json, form and stream read a body that came with its request, or after it."""
    worker = shop.start(source)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert worker.get("/shop/body", "POST", body=b"\x00\xff").body == b"\x00\xff"
    assert worker.get("/shop/body", "POST").body == b""
    assert worker.get("/shop/json", "POST", body=b'{"a": [1]}').json == {"a": [1]}
    assert worker.get("/shop/form", "POST", form, b"a=1&b=x+y").json == {"a": "1", "b": "x y"}
    for path, expected in (("body", b"z" * 500_000), ("stream-in", b"500000")):
        number = worker.request("/shop/" + path, "POST", end=False)
        worker.upload(number, b"z" * 500_000)
        assert worker.answer(number).body == expected


@pytest.mark.parametrize(("path", "body"), [("json", b"{"), ("json", b"\xff"), ("form", b"a=%FF")])
def test_bad_bodies_get_400(shop: Workshop, source: str, path: str, body: bytes) -> None:
    """A body that is not what the handler asked for is the client's fault: 400, as JSON."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = shop.start(source).get("/shop/" + path, "POST", headers, body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json["error"]["code"] == "bad_body"
    assert answer.json["error"]["requestId"] == "req-1"
    assert answer.json["error"]["message"]


def test_small_answers_are_one_message(shop: Workshop, source: str) -> None:
    """A small known response, or one that declares its length, is sent in one message."""
    worker = shop.start(source)
    for path, body in [("list", b"ab"), ("empty", b""), ("file", source.encode())]:
        answer = worker.get("/shop/" + path)
        assert (answer.types, answer.body) == (["RESPONSE"], body)
    assert "content-length" not in worker.get("/shop/list").headers


def test_streams_leave_piece_by_piece(shop: Workshop, source: str) -> None:
    """The head of a stream is sent at once, then each piece as it comes; empty ones are not
    sent."""
    answer = shop.start(source).get("/shop/pieces")
    assert [payload for _, payload in answer.messages] == [
        b"",
        b"one ",
        b"two ",
        "thrée".encode(),
        b"",
    ]
    assert answer.headers["content-type"] == "application/octet-stream"


def test_declared_length_ends_a_stream(shop: Workshop, source: str) -> None:
    """The piece that completes the declared length ends the response."""
    answer = shop.start(source).get("/shop/declared")
    assert (answer.types, answer.body) == (["RESPONSE", "BODY"], b"1234567890")


@pytest.mark.parametrize("path", ["too-long", "too-short", "wrong"])
def test_wrong_length_is_an_error(shop: Workshop, source: str, path: str) -> None:
    """A body with another length than declared never looks complete."""
    answer = shop.start(source).get("/shop/" + path)
    assert answer.error is not None
    assert "the response's Content-Length is" in answer.error


def test_large_body_gets_its_length(shop: Workshop, source: str) -> None:
    """A known body of several messages gets a Content-Length."""
    answer = shop.start(source).get("/shop/large")
    assert answer.headers["content-length"] == "300000"
    assert answer.body == b"x" * 300_000
    assert max(len(payload) for _, payload in answer.messages) <= 65536


def test_head_sends_no_large_body(shop: Workshop, source: str) -> None:
    """HEAD of a large body or a stream sends no body; the header fields are those of GET."""
    worker = shop.start(source)
    large = worker.get("/shop/large", "HEAD")
    assert (large.types, large.body) == (["RESPONSE"], b"")
    assert large.headers["content-length"] == "300000"
    file = worker.get("/shop/file", "HEAD")
    assert (file.types, file.headers["content-length"]) == (["RESPONSE"], str(len(source)))
    assert worker.get("/shop/pieces", "HEAD").types == ["RESPONSE"]


def test_set_cookies_survive(shop: Workshop, source: str) -> None:
    """Repeated header fields are sent in order."""
    cookies = [v for n, v in shop.start(source).get("/shop/repeats").pairs if n == "set-cookie"]
    assert [cookie.partition(";")[0] for cookie in cookies] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("raise", "ValueError: a fault"),
        ("exit", "SystemExit: 3"),
        ("none", "TypeError: fetch returned None; it must return a buntime.Response, such as"),
        ("dict", "TypeError: fetch returned a value of type dict; it must return a buntime."),
        ("huge-head", "ValueError: the head of a response must not exceed 1048576 bytes"),
    ],
)
def test_errors_end_their_request_only(
    shop: Workshop, source: str, path: str, message: str
) -> None:
    """A handler's fault is an ERROR of its request, and the worker keeps serving."""
    worker = shop.start(source)
    answer = worker.get("/shop/" + path)
    assert answer.types == ["ERROR"]
    assert answer.error is not None
    assert answer.error.startswith(message)
    assert worker.get("/shop/list").text == "ab"


def test_stack_begins_in_the_app(shop: Workshop, source: str) -> None:
    """The stack of an error has the app's frames, and none of the worker's above them."""
    stack = shop.start(source).get("/shop/raise").stack
    assert stack.splitlines()[1].split(",")[0].endswith('/app.py"')
    assert 'raise ValueError("a fault")' in stack
    assert "buntime/worker" not in stack


def test_error_after_the_head_ends_too(shop: Workshop, source: str) -> None:
    """A stream that fails in the middle ends with one ERROR."""
    worker = shop.start(source)
    answer = worker.get("/shop/failing")
    assert answer.types == ["RESPONSE", "BODY", "ERROR"]
    assert answer.error == "KeyError: 'middle'"
    assert worker.get("/shop/int-piece").types == ["RESPONSE", "ERROR"]
    assert worker.leftover() == []


def test_forgotten_async_is_told(shop: Workshop) -> None:
    """If a plain function returns a coroutine, the error says what is missing."""
    source = """
    async def inner(request): ...
    fetch = lambda request: inner(request)
    """
    worker = shop.start(source)
    answer = worker.get()
    assert answer.error is not None
    assert (
        "is a plain function but returned a coroutine; define it with `async def`" in answer.error
    )
    assert "never awaited" not in worker.stderr


def test_decorated_async_handler(shop: Workshop) -> None:
    """A decorator's plain function may return the async one's coroutine, or run it itself."""
    source = """
    import asyncio, functools
    from buntime import Response

    def passing(function):
        @functools.wraps(function)
        def wrapper(request):
            return function(request)
        return wrapper

    def running(function):
        @functools.wraps(function)
        def wrapper(request):
            return asyncio.run(function(request))
        return wrapper

    async def handler(request):
        await asyncio.sleep(0)
        return Response("done")

    routes = {"/passing": passing(handler), "/running": running(handler)}
    """
    worker = shop.start(source)
    assert worker.get("/shop/passing").text == "done"
    assert worker.get("/shop/running").text == "done"


def test_sync_iterable_in_an_async_app(shop: Workshop) -> None:
    """A plain generator of an async app runs in a thread, with its context."""
    source = """
    import contextvars, threading
    from buntime import Response
    VALUE = contextvars.ContextVar("value")

    def pieces():
        yield threading.current_thread().name
        yield VALUE.get()

    async def fetch(request):
        VALUE.set(" set")
        return Response(pieces())
    """
    assert shop.start(source).get().text == "handler_0 set"


def test_async_iterable_in_a_sync_app(shop: Workshop) -> None:
    """A sync handler cannot return an async iterable, and the error says so."""
    source = """
    from buntime import Response
    async def pieces():
        yield b""
    def fetch(request):
        return Response(pieces())
    """
    answer = shop.start(source).get()
    assert answer.error is not None
    assert "a Response of a sync handler cannot have an async iterable" in answer.error


def test_stop_iteration_does_not_hang(shop: Workshop) -> None:
    """A sync handler of an async app may even raise StopIteration."""
    source = """
    def stops(request):
        raise StopIteration
    async def other(request): ...
    routes = {"/": stops, "/other": other}
    """
    answer = shop.start(source).get()
    assert answer.error == "RuntimeError: the handler raised StopIteration"


def test_contexts_are_apart(shop: Workshop, tmp_path: Path) -> None:
    """What one request sets in a context variable is not visible to the next."""
    source = """
    import contextvars
    from buntime import Response
    VALUE = contextvars.ContextVar("value", default="unset")

    {async_}def fetch(request):
        before = VALUE.get()
        VALUE.set("set")
        return Response(before)
    """
    for async_ in ("", "async "):
        worker = shop.start(source.replace("{async_}", async_))
        assert [worker.get().text for _ in range(3)] == ["unset"] * 3


def test_generators_are_closed(shop: Workshop, source: str) -> None:
    """The generator of a body is closed, whatever ends its response."""
    kind = "async def" if source is ASYNC else "def"
    closing = f"""
    from buntime import Response

    {kind} pieces(fails):
        try:
            yield b"a"
            if fails:
                raise KeyError("x")
        finally:
            print("closed")

    {kind} fetch(request):
        return Response(pieces(request.path == "/fails"))
    """
    worker = shop.start(closing)
    worker.get("/shop/")
    worker.get("/shop/fails")
    worker.get("/shop/", "HEAD")
    assert worker.terminate() == 0
    # HEAD never starts the generator, so there is nothing to close in it.
    assert worker.stdout == "closed\n" * 2


def test_answer_of_another_kind(shop: Workshop) -> None:
    """A subclass of Response is a Response."""
    source = """
    from buntime import Response
    class Page(Response):
        pass
    def fetch(request):
        return Page.html("<p>")
    """
    seen: Any = shop.start(source).get()
    assert seen.text == "<p>"


@pytest.mark.skipif(sys.platform != "linux", reason="only epoll counts in milliseconds")
@pytest.mark.parametrize("bound", ["", "asyncio.set_event_loop(asyncio.new_event_loop())"])
def test_timers_of_asyncio_are_precise(shop: Workshop, bound: str) -> None:
    """A sleep of less than a millisecond takes less, even on a loop that the app has created."""
    source = f"""
    import asyncio, time
    from buntime import Response
    {bound}
    async def fetch(request):
        took_s = []
        for _ in range(200):
            begun = time.perf_counter()
            await asyncio.sleep(0.0002)
            took_s.append(time.perf_counter() - begun)
        return Response.json(min(took_s))
    """
    assert 0.0002 <= shop.start(source).get().json < 0.0009
