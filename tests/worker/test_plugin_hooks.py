"""Hooks of plugins: HOOK in, VERDICT out, and what else happens meanwhile."""

import pytest

from tests.support.plugins import (
    WORDS,
    ask,
    asked,
    boot_plugin,
    start_plugin,
    verdict,
)
from tests.support.workshop import Workshop, eventually

BOTH = pytest.mark.parametrize("words", WORDS)
HEAD = "from buntime.plugin import plugin, exposed, Continue, Response, ServiceError\n"


WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["path"][6:].encode()})
"""


@BOTH
def test_a_hook_sees_a_request(shop: Workshop, words: str) -> None:
    """A hook sees everything about the request that HOOK says, and None lets it pass."""
    source = """
    {async_}def on_request(request):
        assert request.method == "GET", request.method
        assert request.path == "/cart", request.path
        assert request.query["b"] == "x y", request.query
        assert request.headers.getall("x-twice") == ["1", "2"]
        assert request.cookies == {"sid": "7"}
        assert request.client == ("203.0.113.7", 50123)
        assert (request.scheme, request.host) == ("https", "example.com")
        assert request.url == "https://example.com/shop@1/cart?a=1&b=x+y", request.url
        assert (request.app, request.version, request.base) == ("shop", "1.2.0", "/shop@1")
        assert request.identity == {"user": "ann"}
        assert request.is_public is True and request.is_websocket is False
        assert request.id == "req-1" and not request.is_cancelled()
    """
    worker = start_plugin(shop, source, words)
    answer = asked(worker, isPublic=True, identity={"user": "ann"})
    assert (answer.action, answer.said) == ("continue", {}), answer.message


@BOTH
def test_no_hook_changes_what_the_next_one_sees(shop: Workshop, words: str) -> None:
    """What a hook does to its request concerns no other request, though they may share parts."""
    source = """
    {async_}def on_request(request):
        assert request.headers.getall("x-twice") == ["1", "2"]
        assert (request.method, request.base, request.app) == ("GET", "/shop@1", "shop")
        request.headers.set("x-twice", "3")
        request.headers.remove("cookie")
        request.method, request.base, request.app = "POST", "/b", "other"
        assert request.url == "https://example.com/shop@1/cart?a=1&b=x+y", request.url
    """
    worker = start_plugin(shop, source, words)
    for _ in range(3):
        assert asked(worker).action == "continue"


@BOTH
def test_continue(shop: Workshop, words: str) -> None:
    """A Continue arrives with all that it has, and with nothing else."""
    source = (
        HEAD
        + """
{async_}def on_request(request):
    if request.path == "/little":
        return Continue(headers={"X-A": "1"})
    return Continue(
        headers={"X-User": "ann", "X-Debug": None}, path="/y", app="other", identity={"n": [1]},
        cache_s=30, vary=["Authorization", "cookie:sid", "client"], any_path=True,
        tags=["session:7"], until=2_000_000_000)
"""
    )
    worker = start_plugin(shop, source, words)
    assert asked(worker, path="/little").said == {"headers": {"x-a": "1"}}
    assert asked(worker).said == {
        "headers": {"x-user": "ann", "x-debug": None},
        "path": "/y",
        "app": "other",
        "identity": {"n": [1]},
        "cacheS": 30,
        "vary": ["authorization", "cookie:sid", "client"],
        "anyPath": True,
        "tags": ["session:7"],
        "until": 2_000_000_000,
    }


@BOTH
def test_a_response_in_its_place(shop: Workshop, words: str) -> None:
    """A Response arrives complete, of any size and also in pieces, like an app's."""
    source = (
        HEAD
        + """
{async_}def pieces():
    for each in (b"a", b"", b"b" * 300_000):
        yield each
{async_}def on_request(request):
    if request.path == "/pieces":
        return Response(pieces())
    if request.path == "/large":
        return Response(b"x" * 300_000)
    return Response("sign in", 401, {"www-authenticate": "Basic"})
"""
    )
    worker = start_plugin(shop, source, words)
    answer = asked(worker)
    assert (answer.action, answer.status, answer.text) == ("respond", 401, "sign in")
    assert answer.types == ["VERDICT"]
    assert answer.headers["www-authenticate"] == "Basic"
    large = asked(worker, path="/large")
    assert (large.action, large.status, len(large.body)) == ("respond", 200, 300_000)
    assert large.headers["content-length"] == "300000"
    assert len(asked(worker, path="/pieces").body) == 300_001
    head = asked(worker, path="/large", method="HEAD")
    assert (head.body, head.headers["content-length"]) == (b"", "300000")


@BOTH
def test_a_large_response_waits_for_credit(shop: Workshop, words: str) -> None:
    """A large response is sent as it is taken, and CANCEL ends it."""
    source = HEAD + "{async_}def on_request(request): return Response(b'x' * 3_000_000)"
    worker = start_plugin(shop, source, words)
    number = ask(worker)
    got = 0
    while got < 128 * 1024:
        message, payload = worker.take(lambda m: m["type"] in ("VERDICT", "BODY"))
        got += len(payload)
        assert not message["end"]
    assert asked(worker, method="HEAD").action == "respond"
    assert worker.leftover() == []
    worker.cancel(number)
    last = worker.take(lambda m: m.get("id") == number)[0]
    assert (last["type"], last["action"]) == ("VERDICT", "failed")
    assert asked(worker, method="HEAD").action == "respond"


FAILURES = [
    ("raise KeyError('x')", "KeyError: 'x'"),
    ("exit(3)", "SystemExit: 3"),
    ("return 5", "returned a value of type int"),
    ("return {'headers': {}}", "returned a value of type dict"),
    ("return True", "returned a value of type bool"),
    ("return Continue(path='no')", 'path is text that starts with "/"'),
    ("return Continue(cache_s=61)", "cache_s is 0 to 60 seconds"),
    ("return Continue(headers={'content-length': '1'})", "belongs to the connection"),
    ("return Continue(headers={'x': 'a\\r\\nb: c'})", "which no header can carry"),
    ("return Continue(tags='session')", "tags is a list of texts"),
    ("{await_}request.text()", "says `body: true`"),
]


@BOTH
def test_failures(shop: Workshop, words: str) -> None:
    """An exception or an invalid result is `failed`, with the hook's own stack, and affects no
    other hook."""
    source = HEAD + "{async_}def on_request(request):"
    for number, (code, _) in enumerate(FAILURES):
        source += f"\n    if request.path == '/{number}':\n        {code}"
    worker = start_plugin(shop, source, words, body=False)
    for number, (code, error) in enumerate(FAILURES):
        answer = asked(worker, path=f"/{number}")
        assert answer.action == "failed", code
        assert error in answer.message["error"]
        traceback = answer.message["traceback"]
        if "returned" not in error:
            assert f'plugin.py", line {4 + 2 * number}, in on_request' in traceback, code
        assert "buntime/worker" not in traceback
        assert asked(worker, path="/other").action == "continue"


@BOTH
def test_a_stream_that_breaks_off(shop: Workshop, words: str) -> None:
    """A response whose body fails while it is sent ends in `failed`."""
    source = (
        HEAD
        + """
{async_}def pieces():
    yield b"a"
    raise KeyError("late")
{async_}def on_request(request):
    return Response(pieces())
"""
    )
    answer = asked(start_plugin(shop, source, words))
    assert answer.types[0] == answer.types[-1] == "VERDICT"
    assert answer.message["action"] == "respond"
    assert answer.messages[-1][0]["error"] == "KeyError: 'late'"


@BOTH
def test_bodies(shop: Workshop, words: str) -> None:
    """A hook gets the whole body, with the HOOK or in pieces after it, by credit."""
    source = (
        HEAD
        + """
{async_}def on_request(request):
    body = {await_}request.bytes()
    assert body == {await_}request.bytes()
    return Continue(tags=[str(len(body)), {await_}request.text() if len(body) < 9 else "-"])
"""
    )
    worker = start_plugin(shop, source, words, body=True)
    assert asked(worker, body=b"hello").said == {"tags": ["5", "hello"]}
    number = ask(worker, body=b"x" * 65536, end=False)
    worker.upload(number, b"y" * 500_000)
    assert verdict(worker, number).said == {"tags": ["565536", "-"]}
    empty = ask(worker, end=False)
    worker.body(empty, end=True)
    assert verdict(worker, empty).action == "failed"  # a tag must not be empty


@BOTH
def test_on_response(shop: Workshop, words: str) -> None:
    """A hook sees the head of a response, and may change or replace the response."""
    source = (
        HEAD
        + """
{async_}def on_response(request, response):
    if request.path == "/same":
        assert response.status == 200 and response.headers.getall("set-cookie") == ["a=1", "b=2"]
        response.headers["x-a"] = "2"
        response.headers["x-a"] = "1"
    elif request.path == "/x-a":
        response.headers["x-a"] = "1"
    elif request.path == "/changed":
        response.status = 404
        response.headers.remove("set-cookie")
        response.headers["x-b"] = "new"
        return response
    elif request.path == "/wrong":
        response.status = "200"
    elif request.path == "/continue":
        return Continue()
    else:
        return Response("no", 500)
"""
    )
    worker = start_plugin(shop, source, words)
    head = {"status": 200, "headers": [["set-cookie", "a=1"], ["x-a", "1"], ["set-cookie", "b=2"]]}
    assert asked(worker, "on_response", response=head, path="/same").action == "continue"
    for status in (101, 999):
        other = {"status": status, "headers": [["set-cookie", "a=1"], ["x-a", "9"]]}
        assert asked(worker, "on_response", response=other, path="/x-a").said == {
            "status": status,
            "headers": [["set-cookie", "a=1"], ["x-a", "1"]],
        }
    changed = asked(worker, "on_response", response=head, path="/changed")
    assert changed.action == "change"
    assert changed.said == {"status": 404, "headers": [["x-a", "1"], ["x-b", "new"]]}
    other = asked(worker, "on_response", response=head)
    assert (other.action, other.status, other.text) == ("respond", 500, "no")
    for path in ("/wrong", "/continue"):
        assert asked(worker, "on_response", response=head, path=path).action == "failed"


@BOTH
def test_life(shop: Workshop, words: str) -> None:
    """on_init runs before READY, with the plugin's options; the other two when they are asked."""
    source = (
        HEAD
        + """
print("import", plugin.name, plugin.config, plugin.runtime)
services = {}
class Store:
    @exposed
    def get(self, key): ...
    def hidden(self): ...
{async_}def on_init():
    print("init")
    services["kv"] = Store()
{async_}def on_server_start():
    print("start")
{async_}def on_shutdown():
    print("shutdown")
def on_terminate():
    print("terminate")
"""
    )
    worker = boot_plugin(shop, source, words, config={"size": 3})
    ready = worker.ready()
    assert ready["kind"] == "plugin"
    assert ready["hooks"] == ["on_init", "on_server_start", "on_shutdown"]
    assert ready["services"] == {"kv": ["get"]}
    assert ready["is_async"] is (words == "async")
    first = "import guard {'size': 3} <buntime 0.1.0, api 1, development>\ninit\n"
    assert worker.stdout == first
    assert asked(worker, "on_server_start").action == "done"
    assert asked(worker, "on_shutdown").action == "done"
    assert worker.terminate() == 0
    assert worker.stdout == first + "start\nshutdown\nterminate\n"


@BOTH
def test_shutdown_is_never_left_out(shop: Workshop, words: str) -> None:
    """on_shutdown runs at TERMINATE at the latest; a failure in it is reported and harms
    nothing."""
    source = """
    {async_}def on_shutdown():
        print("shutdown")
        raise KeyError("end")
    """
    worker = start_plugin(shop, source, words)
    worker.send({"type": "TERMINATE"})
    failed, _ = worker.take(lambda message: message["type"] == "NOTICE")
    assert worker.process.wait(20) == 0
    assert worker.stdout == "shutdown\n"
    assert (failed["notice"], failed["hook"]) == ("failed", "on_shutdown")
    assert failed["error"] == "KeyError: 'end'"


@BOTH
def test_a_start_that_fails(shop: Workshop, words: str) -> None:
    """If on_init raises the start fails with that error; READY never comes."""
    source = "{async_}def on_init():\n    raise OSError('no disk')"
    error = boot_plugin(shop, source, words).boot_error()
    assert error["message"] == "plugin.py: OSError: no disk (line 2)"
    assert "in on_init" in error["stack"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def on_request(): ...", "on_request must be a function that takes one argument"),
        ("def on_response(request): ...", "takes two arguments: request, response"),
        ("def on_init(config): ...", "on_init must be a function that takes no arguments"),
        ("on_shutdown = 5", "on_shutdown must be a function"),
        ("services = [1]", "services is a list, not a dict"),
        ("services = {'kv': object()}", "services['kv'] has no method marked with @exposed"),
        ("services = {5: object()}", "which is not text"),
        ("fetch = 5", "fetch is an int, which cannot be called"),
    ],
)
def test_what_is_no_plugin(shop: Workshop, source: str, error: str) -> None:
    """A module with hooks that cannot be called, or services that offer nothing, is refused."""
    assert error in boot_plugin(shop, source).boot_error()["message"]


def test_a_slip_of_the_pen(shop: Workshop) -> None:
    """A function with a misspelt hook's name is reported."""
    worker = start_plugin(shop, "def on_requset(request): ...")
    assert "on_requset is not a hook; hooks are on_request, on_response" in worker.stderr
    assert asked(worker).message["error"] == "LookupError: this plugin has no hook 'on_request'"
    assert asked(worker, "on_nothing").action == "failed"


@BOTH
def test_nothing_below_the_base(shop: Workshop, words: str) -> None:
    """A plugin without fetch, routes, app or websocket answers 404 below its base."""
    worker = start_plugin(shop, "{async_}def on_request(request): ...", words)
    answer = worker.get("/guard/x?y", base="/guard")
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "serving",
    [
        "from buntime import Response\ndef fetch(request): return Response(request.path)",
        "from buntime import Response\nasync def fetch(request): return Response(request.path)",
        "from buntime import Response\nroutes = {'/*': lambda request: Response(request.path)}",
        WSGI,
        ASGI,
    ],
)
@BOTH
def test_every_kind_may_have_hooks(shop: Workshop, words: str, serving: str) -> None:
    """Hooks, sync or async, work beside fetch, routes, WSGI and ASGI, sync or async."""
    source = f"""{serving}
import threading
loops = set()
{{async_}}def on_init():
    print("init")
{{async_}}def on_request(request):
    from buntime.plugin import Continue
    if "{{async_}}":
        import asyncio
        loops.add(id(asyncio.get_running_loop()))
    return Continue(tags=[request.path, str(len(loops))])
"""
    worker = start_plugin(shop, source, words)
    assert worker.stdout == "init\n"
    expected = "1" if words == "async" else "0"
    for _ in range(2):  # on one loop, so that its objects can be reused
        assert asked(worker).said == {"tags": ["/cart", expected]}
    assert worker.get("/guard/x", base="/guard").text == "/x"
    assert worker.terminate() == 0
    assert worker.stderr == ""


@BOTH
def test_hooks_have_slots_of_their_own(shop: Workshop, words: str) -> None:
    """Neither requests that take all slots nor other hooks keep a hook waiting."""
    source = (
        HEAD
        + """
import threading, time
gate = threading.Event()
def fetch(request):
    gate.wait(60)
    return Response("late")
{async_}def on_request(request):
    if request.path == "/open":
        gate.set()
"""
    )
    worker = start_plugin(shop, source, words, concurrency=2)
    numbers = [worker.request("/guard/", base="/guard") for _ in range(3)]
    for _ in range(20):
        assert asked(worker).action == "continue"
    assert worker.leftover() == []
    assert asked(worker, path="/open").action == "continue"
    assert [worker.answer(number).text for number in numbers] == ["late"] * 3


def test_sync_hooks_at_once(shop: Workshop) -> None:
    """As many sync hooks run at once as the concurrency says, and one more waits."""
    source = (
        HEAD
        + """
import threading
meeting = threading.Barrier(3)
inside = []
def on_request(request):
    inside.append(1)
    meeting.wait(30)
    return Continue(tags=[str(len(inside))])
async def on_server_start(): ...
"""
    )
    for text in (source, source.replace("async ", "")):
        worker = start_plugin(shop, text, concurrency=3)
        numbers = [ask(worker) for _ in range(3)]
        assert {verdict(worker, number).said["tags"][0] for number in numbers} == {"3"}


@BOTH
def test_cancel(shop: Workshop, words: str) -> None:
    """CANCEL reaches a hook: an async one is cancelled, a sync one is notified; one VERDICT
    comes."""
    source = (
        HEAD
        + """
import asyncio, time
{async_}def on_request(request):
    if request.path != "/cart":
        return None
    print("begun")
    try:
        if "{async_}":
            {await_}asyncio.sleep(60)
        while not request.is_cancelled():
            time.sleep(0.001)
    finally:
        print("ended")
""".replace("            {await_}asyncio", "            {await_}asyncio")
    )
    if words == "sync":
        source = source.replace("asyncio.sleep(60)", "None")
    worker = start_plugin(shop, source, words)
    number = ask(worker)
    eventually(lambda: worker.stdout == "begun\n")
    worker.cancel(number, "deadline")
    verdict(worker, number)
    eventually(lambda: worker.stdout == "begun\nended\n")
    assert asked(worker, path="/other").action == "continue"
    assert worker.leftover() == []


def test_cancel_of_a_hook_that_waits(shop: Workshop) -> None:
    """A hook that was given up before it began does not run."""
    source = (
        HEAD
        + """
import threading
gate = threading.Event()
def on_request(request):
    print(request.path, flush=True)
    if request.path == "/first":
        gate.wait(30)
def fetch(request):
    gate.set()
    return Response("open")
"""
    )
    worker = start_plugin(shop, source, concurrency=1)
    first = ask(worker, path="/first")
    eventually(lambda: worker.stdout == "/first\n")
    second = ask(worker, path="/second")
    worker.cancel(second, "deadline")
    assert worker.get("/guard/", base="/guard").text == "open"
    assert (
        verdict(worker, second).message["error"].endswith("the deadline of this request has passed")
    )
    assert verdict(worker, first).action == "continue"
    assert worker.stdout == "/first\n"


@BOTH
def test_notices(shop: Workshop, words: str) -> None:
    """Notices come in order, one at a time; failures are reported and stop nothing."""
    source = (
        HEAD
        + """
import asyncio, time
busy = []
{async_}def on_worker_spawn(worker):
    assert not busy
    busy.append(1)
    {await_}sleep(0.002)
    busy.clear()
    print("spawn", worker["id"])
    if worker["id"] == 3:
        raise KeyError("three")
{async_}def on_apps_changed(apps):
    print("apps", apps)
sleep = asyncio.sleep if "{async_}" else time.sleep
{async_}def on_request(request): ...
"""
    )
    worker = start_plugin(shop, source, words)
    for number in range(10):
        data = {"id": number}
        worker.send({"type": "NOTICE", "notice": "on_worker_spawn", "data": data})
    worker.send({"type": "NOTICE", "notice": "on_plugins_changed", "data": []})  # not wanted
    worker.send({"type": "NOTICE", "notice": "on_apps_changed", "data": ["a"], "dropped": 7})
    assert asked(worker).action == "continue"
    lines = [f"spawn {number}" for number in range(10)] + ["apps ['a']"]
    eventually(lambda: worker.stdout.splitlines() == lines)
    failed, _ = worker.take(lambda message: message["type"] == "NOTICE")
    assert (failed["notice"], failed["hook"]) == ("failed", "on_worker_spawn")
    assert failed["error"] == "KeyError: 'three'"
    assert "in on_worker_spawn" in failed["traceback"]
    assert "Traceback" not in worker.stderr
    assert "<4>7 notices were dropped before this one" in worker.stderr
    assert worker.terminate() == 0


@BOTH
def test_after_terminate(shop: Workshop, words: str) -> None:
    """A HOOK that arrives after TERMINATE fails at once; an earlier one is answered."""
    source = (
        HEAD
        + """
import threading
gate = threading.Event()
def on_request(request):
    gate.wait(30)
{async_}def fetch(request):
    gate.set()
    return Response("open")
"""
    )
    worker = start_plugin(shop, source, words)
    first = ask(worker)
    number = worker.request("/guard/", base="/guard", method="POST", end=False)
    worker.send({"type": "TERMINATE"})
    late = ask(worker)
    worker.body(number, end=True)
    assert verdict(worker, first).action == "continue"
    if late_message := [m for m in worker.leftover() if m.get("id") == late]:
        assert late_message[0]["action"] == "failed"
    assert worker.process.wait(20) == 0


def test_log(shop: Workshop) -> None:
    """plugin.log writes lines with their level."""
    source = (
        HEAD
        + """
def on_init():
    plugin.log.info("hello %s, %d", "ann", 3)
    plugin.log.warning("two\\nlines")
    plugin.log.error("%(a)s", {"a": 1})
    plugin.log.debug("100 %")
    plugin.log.debug("%d", "x")
    try:
        1 / 0
    except ZeroDivisionError:
        plugin.log.exception("failed")
"""
    )
    worker = start_plugin(shop, source)
    lines = worker.stderr.splitlines()
    assert lines[:6] == [
        "<6>hello ann, 3",
        "<4>two",
        "<4>lines",
        "<3>1",
        "<7>100 %",
        "<7>%d ('x',)",
    ]
    assert lines[6:8] == ["<3>failed", "<3>Traceback (most recent call last):"]
    assert lines[-1] == "<3>ZeroDivisionError: division by zero"
    assert all(line.startswith("<") for line in lines)
