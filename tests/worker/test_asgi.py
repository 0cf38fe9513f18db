"""Kind asgi: ASGI 3, HTTP 2.4, and lifespan."""

from urllib.parse import quote

import pytest

from tests.support.peer import Peer
from tests.support.workshop import Lasting, Workshop

# The app itself asserts every fact about what it is given.
STRICT = """
import copy

seen = []

async def app(scope, receive, send):
    assert type(scope) is dict
    if scope["type"] == "lifespan":
        assert set(scope) == {"type", "asgi", "state"}, scope
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        assert await receive() == {"type": "lifespan.startup"}
        scope["state"]["shared"] = []
        scope["state"]["plain"] = 1
        await send({"type": "lifespan.startup.complete"})
        assert await receive() == {"type": "lifespan.shutdown"}
        print("shutdown", scope["state"])
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "POST"
    assert scope["scheme"] == "http"
    assert scope["path"] == "/shop/a b/\\xe9"
    assert scope["raw_path"] == b"/shop/a%20b/%C3%A9"
    assert scope["query_string"] == b"q=%20"
    assert scope["root_path"] == "/shop"
    assert list(scope["headers"]) == [
        (b"host", b"example.com"), (b"x-a", b"1"), (b"x-a", b"\\xe9"), (b"x-base", b"/shop"),
    ], scope["headers"]
    assert scope["client"] == ("203.0.113.7", 50123)
    assert scope["server"] == ("127.0.0.1", 8000)
    assert scope["extensions"] == {}
    state = scope["state"]
    assert state["plain"] == 1
    state["plain"] = 2
    state["shared"].append("request")

    body, more = b"", True
    while more:
        event = await receive()
        assert set(event) == {"type", "body", "more_body"}
        assert event["type"] == "http.request"
        assert type(event["body"]) is bytes and type(event["more_body"]) is bool
        body, more = body + event["body"], event["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"X-A", b"\\xe9")]})
    await send({"type": "http.response.body", "body": body[:1], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": bytearray(body[1:]), "more_body": True})
    await send({"type": "http.response.body"})
    for _ in range(2):
        assert await receive() == {"type": "http.disconnect"}
    print("done")
"""


def test_a_strict_app_finds_nothing(shop: Workshop) -> None:
    """Scope, events, state and lifespan are exactly as specified."""
    worker = shop.boot(STRICT)
    ready = worker.ready()
    assert (ready["kind"], ready["is_async"], ready["concurrency"]) == ("asgi", True, 100)
    headers = [("host", "example.com"), ("x-a", "1"), ("x-a", "\xe9")]
    target = "/shop/a%20b/%C3%A9?q=%20"
    answer = worker.get(target, "POST", headers, b"abc")
    assert (answer.status, answer.pairs, answer.text) == (200, [("x-a", "\xe9")], "abc"), (
        answer.error
    )
    assert [payload for _, payload in answer.messages] == [b"a", b"bc", b""]
    number = worker.request(target, "POST", headers, end=False)
    worker.upload(number, b"z" * 200_000)
    assert worker.answer(number).body == b"z" * 200_000
    assert worker.terminate() == 0
    shared = ["request", "request"]
    assert worker.stdout == f"done\ndone\nshutdown {{'shared': {shared}, 'plain': 1}}\n"
    assert worker.stderr == ""


SCOPE = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    names = ("path", "raw_path", "root_path", "client", "server")
    body = repr([scope[name] for name in names]).encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.mark.parametrize(
    ("target", "base", "seen"),
    [
        ("/shop", "/shop", ["/shop", b"/shop", "/shop"]),
        ("/%73hop/%2F", "/%73hop", ["/shop//", b"/%73hop/%2F", "/shop"]),
        ("/x/%FF", "", ["/x/\ufffd", b"/x/%FF", ""]),
        ("/x", "/", ["/x", b"/x", ""]),
    ],
)
def test_paths(shop: Workshop, target: str, base: str, seen: list[object]) -> None:
    """The path includes the root_path, both decoded; raw_path is as it was sent."""
    worker = shop.start(SCOPE)
    answer = worker.get(target, base=base, client=None, server=None)
    assert answer.text == repr([*seen, None, None])


ANSWERS = """
import asyncio, sys

def start(status=200, headers=()):
    return {"type": "http.response.start", "status": status, "headers": headers}

def body(data=b"", more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}

CASES = {
    "nothing": [],
    "start-only": [start()],
    "unfinished": [start(), body(b"a", True)],
    "body-first": [body(b"a")],
    "two-starts": [start(), start()],
    "start-after-body": [start(), body(b"a", True), start()],
    "unknown": [start(), {"type": "http.response.trailers"}],
    "text": [start(), body("text")],
    "text-header": [start(headers=[("x", "y")])],
    "bad-status": [start(status=100)],
    "bad-header": [start(headers=[(b"x", b"a\\r\\nb")])],
    "too-long": [start(headers=[(b"content-length", b"2")]), body(b"abc")],
    "too-short": [start(headers=[(b"content-length", b"4")]), body(b"abc")],
    "declared": [start(headers=[(b"content-length", b"3")]), body(b"abc", True), body()],
    "after-the-end": [start(), body(b"abc"), body(b"d")],
    "one": [start(), body(b"abc")],
    "large": [start(), body(b"x" * 200_000)],
}

async def app(scope, receive, send):
    assert scope["type"] == "http"
    case = scope["path"].rpartition("/")[2]
    if case == "raise":
        raise ValueError("a fault")
    if case == "raise-later":
        await send(start())
        await send(body(b"a", True))
        raise ValueError("a fault")
    if case == "exit":
        sys.exit(3)
    if case == "task-exits":
        async def exits():
            sys.exit(4)
        asyncio.ensure_future(exits())
        await asyncio.sleep(0.01)
        case = "one"
    if case == "background":
        await send(start())
        await send(body(b"abc"))
        await asyncio.sleep(0.1)
        print("background")
        return
    for event in CASES[case]:
        await send(event)
"""


@pytest.mark.parametrize(
    ("case", "messages", "message"),
    [
        ("nothing", ["ERROR"], "RuntimeError: the ASGI app returned before it had sent a response"),
        ("start-only", ["ERROR"], "RuntimeError: the ASGI app returned before it had sent a resp"),
        ("unfinished", ["RESPONSE", "ERROR"], "RuntimeError: the ASGI app returned before it had "),
        ("body-first", ["ERROR"], "RuntimeError: ASGI: expected http.response.start, the app sent"),
        ("two-starts", ["ERROR"], "RuntimeError: ASGI: expected http.response.body, the app sent"),
        (
            "start-after-body",
            ["RESPONSE", "ERROR"],
            "RuntimeError: ASGI: expected http.response.bo",
        ),
        (
            "unknown",
            ["ERROR"],
            "RuntimeError: ASGI: expected http.response.body, the app sent http",
        ),
        ("text", ["ERROR"], "TypeError: ASGI: the body must be bytes, not str"),
        ("text-header", ["ERROR"], "TypeError: ASGI: the names and values of headers must be byt"),
        ("bad-status", ["ERROR"], "ValueError: the status of a response is 200 to 999, not 100"),
        ("bad-header", ["ERROR"], "ValueError: header 'x': the value holds"),
        ("too-long", ["ERROR"], "ValueError: the response's Content-Length is 2"),
        (
            "too-short",
            ["ERROR"],
            "ValueError: the response's Content-Length is 4, but its body has 1",
        ),
        ("raise", ["ERROR"], "ValueError: a fault"),
        ("raise-later", ["RESPONSE", "ERROR"], "ValueError: a fault"),
        ("exit", ["ERROR"], "SystemExit: 3"),
    ],
)
def test_faults(lasting: Lasting, case: str, messages: list[str], message: str) -> None:
    """An invalid event is one ERROR of its request that says what is wrong; the worker keeps
    serving."""
    worker = lasting(ANSWERS)
    answer = worker.get("/shop/" + case)
    assert answer.types == messages
    assert answer.error is not None
    assert answer.error.startswith(message)
    assert worker.get("/shop/one").text == "abc"
    assert worker.leftover() == []


@pytest.mark.parametrize(("case", "size"), [("one", 3), ("declared", 3), ("large", 200_000)])
def test_answers(lasting: Lasting, case: str, size: int) -> None:
    """A body that is complete with its first event is sent in as few messages as possible."""
    answer = lasting(ANSWERS).get("/shop/" + case)
    assert len(answer.body) == size
    if case == "large":
        assert answer.headers["content-length"] == "200000"
    else:
        assert answer.types == ["RESPONSE"]


def test_body_after_the_end_is_told(shop: Workshop) -> None:
    """An event after the last one raises in the app; the response stays valid."""
    worker = shop.start(ANSWERS)
    number = worker.request("/shop/after-the-end")
    assert worker.answer(number).text == "abc"
    message = worker.take_type("FAULT", number)["message"]
    assert "http.response.body after the one without more_body" in message
    assert worker.terminate() == 0


def test_task_that_exits_ends_alone(shop: Workshop) -> None:
    """sys.exit in a task of the app ends neither the loop nor another request."""
    worker = shop.start(ANSWERS)
    assert worker.get("/shop/task-exits").text == "abc"
    assert worker.get("/shop/one").text == "abc"
    assert worker.terminate() == 0
    assert "SystemExit: 4" in worker.stderr


def test_background_work_goes_on(shop: Workshop) -> None:
    """What an app does after its response continues, and TERMINATE waits for it."""
    worker = shop.start(ANSWERS)
    assert worker.get("/shop/background").text == "abc"
    assert worker.stdout == ""
    assert worker.terminate() == 0
    assert worker.stdout == "background\n"


def test_an_app_that_is_not_async(shop: Workshop) -> None:
    """Whoever forgets `async` is told."""
    worker = shop.start("def app(scope, receive, send): return None")
    assert worker.get().error == (
        "TypeError: ASGI: the app returned None where it must be awaited: `async def` it"
    )


def test_an_error_that_the_app_has_answered(shop: Workshop) -> None:
    """Starlette answers an error and raises it then: it is reported, with what to do about it."""
    source = """
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 500})
        await send({"type": "http.response.body", "body": b"sorry"})
        open("data/a.json")
    """
    worker = shop.start(source)
    number = worker.request("/shop/x?a=1")
    assert worker.answer(number).text == "sorry"
    fault = worker.take_type("FAULT", number)
    assert (fault["method"], fault["target"]) == ("GET", "/shop/x?a=1")
    assert fault["message"].startswith("FileNotFoundError: ")
    assert fault["advice"].startswith("relative paths begin at ")
    assert fault["stack"].startswith("Traceback (most recent call last):")
    assert worker.stderr == ""


LIFESPAN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        {lifespan}
        return
    await send({{"type": "http.response.start", "status": 200}})
    await send({{"type": "http.response.body", "body": b"served"}})
"""


GO = "await receive(); "
UP = GO + "await send({'type': 'lifespan.startup.complete'}); "


@pytest.mark.parametrize(
    ("lifespan", "told"),
    [
        ("raise ValueError('no lifespan here')", ""),
        ("pass", ""),
        ("await receive()", ""),
        ("await receive(); raise ValueError('startup')", "ValueError: startup"),
        (
            UP + "1 / 0",
            "ZeroDivisionError",
        ),
        (
            UP
            + "await receive(); await send({'type': 'lifespan.shutdown.failed', 'message': 'why'})",
            "lifespan shutdown failed: why",
        ),
        ("await receive(); await send({'type': 'lifespan.unknown'})", "the app sent lifespan.unk"),
    ],
)
def test_lifespans_that_are_none(shop: Workshop, lifespan: str, told: str) -> None:
    """An app without a lifespan, or with a faulty one, is served; faults are reported."""
    worker = shop.start(LIFESPAN.format(lifespan=lifespan))
    assert worker.get().text == "served"
    assert worker.terminate() == 0
    assert told in worker.stderr
    assert bool(told) == bool(worker.stderr)


@pytest.mark.parametrize(
    ("lifespan", "message"),
    [
        (
            GO + "await send({'type': 'lifespan.startup.failed', 'message': 'no database'}); 1 / 0",
            "lifespan startup failed: no database",
        ),
        (
            "await receive(); await send({'type': 'lifespan.startup.failed'})",
            "lifespan startup failed: the app gave no reason",
        ),
        ("await receive(); exit(3)", "lifespan startup raised SystemExit: 3"),
    ],
)
def test_failed_startup_is_a_boot_error(shop: Workshop, lifespan: str, message: str) -> None:
    """An app whose startup fails is not served; the ERROR has its message."""
    error = shop.boot(LIFESPAN.format(lifespan=lifespan)).boot_error()
    assert error["message"] == message


RAISES = """
        import traceback
        try:
            {}["db"]
        except KeyError:
            await send({"type": "lifespan.startup.failed", "message": traceback.format_exc()})
            %s
"""


@pytest.mark.parametrize("then", ["raise", "return", "await receive()"])
def test_startup_that_fails_with_a_trace(shop: Workshop, then: str) -> None:
    """Frameworks give the trace as their reason. Where they raise the exception too, as Starlette
    does, the ERROR has its line and what to do, as for a module."""
    error = shop.boot(LIFESPAN.format(lifespan=GO + RAISES % then)).boot_error()
    if then == "raise":
        assert error["message"].startswith("app.py: KeyError: 'db' (line ")
        assert error["stack"].endswith("KeyError: 'db'\n")
        assert error["stack"].count("  File ") == 1
    else:
        assert error["message"].startswith("lifespan startup failed: Traceback (most recent")


def test_loop_of_the_import_is_the_loop_that_runs(shop: Workshop) -> None:
    """An object bound to an event loop at import works."""
    source = """
    import asyncio
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    future = loop.create_future()
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        loop.call_soon(future.set_result, b"same")
        body = await future
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})
    """
    assert shop.start(source).get().text == "same"


def test_fastapi(shop: Workshop) -> None:
    """FastAPI runs with its lifespan, background tasks, streams and handlers in threads."""
    source = """
    import contextlib
    from fastapi import BackgroundTasks, FastAPI, Request
    from fastapi.responses import StreamingResponse

    @contextlib.asynccontextmanager
    async def lifespan(app):
        print("up")
        yield {"value": 42}
        print("down")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    def index(request: Request, background: BackgroundTasks):
        background.add_task(print, "background")
        return {"value": request.state.value, "url": str(request.url_for("stream"))}

    @app.get("/stream")
    async def stream():
        return StreamingResponse(iter(["a", "b"]))
    """
    worker = shop.start(source)
    assert worker.get("/shop/").json == {"value": 42, "url": "http://example.com/shop/stream"}
    assert worker.get("/shop/stream").text == "ab"
    assert worker.get("/shop/none").status == 404
    assert worker.terminate() == 0
    assert worker.stdout == "up\nbackground\ndown\n"
    assert worker.stderr == ""


STRIPPED = """
from urllib.parse import quote
async def app(scope, receive, send):
    seen = f"{scope['root_path']} {scope['path']} {scope['raw_path']}"
    if scope["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "headers": [(b"x-seen", quote(seen).encode())]})
        await send({"type": "websocket.close"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": seen.encode()})
"""


def test_the_base_can_be_stripped(shop: Workshop) -> None:
    """With stripBase the path is what follows the base, and root_path is separate."""
    worker = shop.start(STRIPPED, config={"ttl": 60, "stripBase": True})
    assert worker.get("/shop/a%20b/?q").text == "/shop /a b/ b'/a%20b/'"
    assert worker.get("/shop").text == "/shop / b'/'"
    assert worker.get("/shop@1/shop", base="/shop@1").text == "/shop@1 /shop b'/shop'"
    assert worker.get("/cart", base="").text == " /cart b'/cart'"
    accepted = Peer(worker, "/shop/socket").accepted()
    assert accepted["headers"] == [["x-seen", quote("/shop /socket b'/socket'")]]
