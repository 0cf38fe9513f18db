"""Kind routes: which handler a path and a method get, and what the others get."""

import json
from typing import Any

import pytest

from buntime import Response
from buntime.worker.fetch import Handler
from buntime.worker.report import BootError
from buntime.worker.routes import Fixed, Router
from tests.support.workshop import Workshop


def handler(name: str) -> Any:
    def handle(request: Any) -> str:
        return name

    return handle


def find(
    router: Router, path: str, method: str = "GET", base: str = "/shop"
) -> tuple[Handler, dict[str, str] | None]:
    return router({"method": method, "target": base + path, "base": base, "request_id": "req-1"})


PATHS = [
    "/",
    "/todos",
    "/todos/new",
    "/todos/:id",
    "/todos/:id/items",
    "/todos/*",
    "/files/*",
    "/:any/items/:item",
    "/slash/",
]


@pytest.mark.parametrize(
    ("path", "found", "params"),
    [
        ("/", "/", {}),
        ("", "/", {}),
        ("/?x=/todos", "/", {}),
        ("/todos", "/todos", {}),
        ("/todos/new", "/todos/new", {}),
        ("/todos/7", "/todos/:id", {"id": "7"}),
        ("/todos/a%20b%2Fc", "/todos/:id", {"id": "a b/c"}),
        ("/todos/%FF", "/todos/:id", {"id": "\ufffd"}),
        ("/todos/7/items", "/todos/:id/items", {"id": "7"}),
        ("/todos/new/items", "/todos/:id/items", {"id": "new"}),
        ("/todos/7/8/9", "/todos/*", {"*": "7/8/9"}),
        ("/todos/", "/todos/*", {"*": ""}),
        ("/files/a/b.txt", "/files/*", {"*": "a/b.txt"}),
        ("/files", None, {}),
        ("/x/items/y", "/:any/items/:item", {"any": "x", "item": "y"}),
        ("//items/y", None, {}),
        ("/slash", None, {}),
        ("/slash/", "/slash/", {}),
        ("/%74odos", "/todos", {}),
        ("/nothing", None, {}),
    ],
)
def test_paths(path: str, found: str | None, params: dict[str, str]) -> None:
    """The most specific path wins; parameters are decoded after the path was split."""
    router = Router({path: handler(path) for path in PATHS})
    handled, values = find(router, path)
    if found is None:
        assert isinstance(handled, Fixed)
        assert handled.response.status == 404
    else:
        assert handled.call(None) == found
        assert (values or {}) == params


@pytest.mark.parametrize("rest", ["*", "/*"])
def test_everything(rest: str) -> None:
    """`*` alone takes every path that nothing else takes."""
    router = Router({rest: handler("rest"), "/a": handler("a")})
    assert find(router, "/a")[0].call(None) == "a"
    assert find(router, "/b/c")[0].call(None) == "rest"
    assert find(router, "/")[1] == {"*": ""}


def test_methods() -> None:
    """Each method has its handler, HEAD falls back to GET, a bare handler takes all."""
    router = Router({"/": {"GET": handler("get"), "POST": handler("post")}, "/any": handler("any")})
    assert find(router, "/", "GET")[0].call(None) == "get"
    assert find(router, "/", "HEAD")[0].call(None) == "get"
    assert find(router, "/", "POST")[0].call(None) == "post"
    assert find(router, "/any", "PURGE")[0].call(None) == "any"
    assert find(router, "/any", "OPTIONS")[0].call(None) == "any"


def test_no_such_method() -> None:
    """A method that a path does not accept gets 405 with Allow, as JSON."""
    found, _ = find(Router({"/": {"POST": handler("x"), "GET": handler("y")}}), "/", "PUT")
    assert isinstance(found, Fixed)
    assert found.response.status == 405
    assert found.response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert json.loads(found.response.body) == {  # type: ignore[arg-type]  # it is bytes
        "error": {
            "code": "method_not_allowed",
            "message": "this route takes GET, HEAD, OPTIONS, POST, not PUT",
            "requestId": "req-1",
        }
    }


def test_options_are_answered() -> None:
    """OPTIONS is answered with Allow, unless the route has a handler for it."""
    router = Router({"/": Response("x"), "/own": {"OPTIONS": handler("own")}})
    found, _ = find(router, "/", "OPTIONS")
    assert isinstance(found, Fixed)
    assert (found.response.status, found.response.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert find(router, "/own", "OPTIONS")[0].call(None) == "own"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"todos": handler("x")}, r"""routes\['todos'\]: a path is text that starts with "/\""""),
        ({1: handler("x")}, r"routes\[1\]: a path is text"),
        ({"/:": handler("x")}, r'":" needs a name such as ":id"'),
        ({"/:a-b": handler("x")}, r'":a-b" needs a name'),
        ({"/:a/:a": handler("x")}, "two parameters have the same name"),
        ({"/*/a": handler("x")}, r'"\*" can only be the whole last segment'),
        ({"/a*": handler("x")}, r'"\*" can only be the whole last segment'),
        ({"/:a": handler("x"), "/:b": handler("x")}, "another route has the same path"),
        ({"/": 3}, r"routes\['/'\] is of type int; it must be a handler, a Response"),
        ({"/": {}}, r"routes\['/'\] is empty"),
        ({"/": {"get": handler("x")}}, r"routes\['/'\]\['get'\]: a method is a word in capitals"),
        ({"/": {"GET": 3}}, r"routes\['/'\]\['GET'\] is of type int"),
        ({"/": lambda: None}, r"routes\['/'\] must take one argument"),
        ({"/": Response(iter("ab"))}, "can be read only once"),
    ],
)
def test_faulty_tables(table: dict[Any, Any], message: str) -> None:
    """A faulty entry is refused at boot, with its position in the table."""
    with pytest.raises(BootError, match=message):
        Router(table)


APP = """
from buntime import Response

def todo(request):
    return Response.json(dict(request.params, path=request.path))

routes = {
    "/": Response.html("<h1>hello</h1>"),
    "/file": Response.file(__file__),
    "/todos/:id": {"GET": todo},
}
"""


def test_table_is_served(shop: Workshop) -> None:
    """A table of handlers and responses is served under the app's base."""
    worker = shop.boot(APP)
    assert worker.ready()["kind"] == "routes"
    assert worker.get("/shop/").text == "<h1>hello</h1>"
    assert worker.get("/shop").text == "<h1>hello</h1>"
    assert worker.get("/shop/todos/a%2Fb?x=1").json == {"id": "a/b", "path": "/todos/a/b"}
    for _ in range(2):
        assert worker.get("/shop/file").text == APP
    missing = worker.get("/shop/nothing")
    assert missing.status == 404
    assert missing.json["error"] == {
        "code": "not_found",
        "message": "this app has no route for /shop/nothing",
        "requestId": f"req-{missing.messages[0][0]['id']}",
    }


def test_mixed_table_is_async(shop: Workshop) -> None:
    """One async handler makes the app async; the sync ones beside it run in threads."""
    source = """
    import threading
    from buntime import Response

    async def on_loop(request):
        return Response(f"{threading.current_thread().name} {await request.text()}")

    def in_thread(request):
        return Response(f"{threading.current_thread().name} {request.text()}")

    routes = {"/loop": on_loop, "/thread": in_thread, "/fixed": Response("fixed")}
    """
    worker = shop.boot(source)
    assert worker.ready()["is_async"]
    assert worker.get("/shop/loop", "POST", body=b"a").text == "MainThread a"
    assert worker.get("/shop/thread", "POST", body=b"b").text == "handler_0 b"
    assert worker.get("/shop/fixed").text == "fixed"
    number = worker.request("/shop/thread", "POST", end=False)
    worker.upload(number, b"c" * 100_000)
    assert worker.answer(number).text == "handler_0 " + "c" * 100_000
    assert worker.terminate() == 0
