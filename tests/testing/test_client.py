"""`buntime.testing.Client`: apps of all kinds, called in the test's own process."""

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask, redirect, session
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from buntime import AsyncRequest, File, Request, Response
from buntime.sdk.websocket import AsyncWebSocket, WebSocket, WebSocketClosed
from buntime.testing import Answer, AppNotLoaded, Client, Denied

EXAMPLES = Path(__file__).resolve().parents[2] / "apps"


def echo(request: Request) -> Response:
    """Answers with what it received."""
    told = {
        "method": request.method,
        "path": request.path,
        "base": request.base,
        "query": request.query.items(),
        "headers": request.headers.items(),
        "body": request.bytes().decode("latin-1"),
    }
    return Response.json(told)


def asked(request: Request) -> Response:
    """Fails in the way that its path names."""
    if request.path == "/key":
        return Response(str({}["missing"]))
    if request.path == "/exit":
        sys.exit(3)
    if request.path == "/json":
        return Response.json(request.json())
    return Response("fine")


def test_fetch() -> None:
    """A fetch function gets what a client sends, and the client gets its answer."""
    with Client(echo, base="/shop") as client:
        answer = client.post("/a b?x=1", params={"y": ["2", "3"]}, json={"n": 1})
    told = answer.json()
    assert (answer.status, answer.is_success) == (200, True)
    assert (told["method"], told["path"], told["base"]) == ("POST", "/a b", "/shop")
    assert told["query"] == [["x", "1"], ["y", "2"], ["y", "3"]]
    assert json.loads(told["body"]) == {"n": 1}
    fields = dict(map(tuple, told["headers"]))
    assert fields["content-type"] == "application/json"
    assert fields["content-length"] == str(len(told["body"]))
    assert fields["x-base"] == "/shop"
    assert answer.headers["Content-Type"].startswith("application/json")


def test_headers_in_any_case() -> None:
    """Names are found in any case on both sides; headers of a call replace those of the client."""

    def fetch(request: Request) -> Response:
        return Response("", headers={"X-Seen": request.headers["x-user"]})

    client = Client(fetch, headers={"X-User": "ann"})
    assert client.get("/").headers["x-SEEN"] == "ann"
    assert client.get("/", headers={"x-USER": "bob"}).headers["X-Seen"] == "bob"
    client.close()


def test_async_fetch_shares_a_loop() -> None:
    """Handlers of an async app run in parallel, on a loop of their own."""
    waiting = asyncio.Event()

    async def fetch(request: AsyncRequest) -> Response:
        if request.path == "/wait":
            await waiting.wait()
            return Response("woken")
        waiting.set()
        return Response(await request.text())

    with Client(fetch) as client:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(client.get("/wait").text))
        thread.start()
        assert client.put("/", content="hé").text == "hé"
        thread.join()
    assert answers == ["woken"]


def test_routes() -> None:
    """A dict of routes, with their parameters."""
    routes = {"/users/:id": {"GET": lambda request: Response(request.params["id"])}}
    with Client(routes) as client:
        assert client.get("/users/7").text == "7"
        assert client.post("/users/7").status == 405
        assert client.get("/nobody").status == 404


def flask_app() -> Flask:
    app = Flask(__name__)
    app.secret_key = "not secret"

    @app.get("/login")
    def login() -> Any:
        session["user"] = "ann"
        return redirect("/whoami", 303)

    @app.get("/whoami")
    def whoami() -> str:
        return session.get("user", "nobody")

    @app.get("/boom")
    def boom() -> str:
        raise LookupError("no such thing")

    app.testing = True  # otherwise Flask answers with a 500 itself
    return app


def test_flask() -> None:
    """A WSGI app keeps its session in the client's cookies; redirects are followed on request."""
    with Client(flask_app()) as client:
        assert client.get("/whoami").text == "nobody"
        assert client.get("/login").status == 303
        assert client.get("/login", follow_redirects=True).text == "ann"
        assert client.get("/whoami").text == "ann"
        client.cookies.clear()
        assert client.get("/whoami").text == "nobody"
        with pytest.raises(LookupError, match="no such thing"):
            client.get("/boom")


def test_starlette_lifespan() -> None:
    """An ASGI app's lifespan begins before the first request and ends with the client."""
    seen = []

    async def lifespan(_app: Any) -> AsyncIterator[dict[str, str]]:
        seen.append("start")
        yield {"name": "kept"}
        seen.append("stop")

    async def home(request: StarletteRequest) -> JSONResponse:
        return JSONResponse({"state": request.state.name, "body": (await request.body()).decode()})

    app = Starlette(
        routes=[Route("/", home, methods=["GET", "POST"])],
        lifespan=contextlib.asynccontextmanager(lifespan),
    )
    with Client(app) as client:
        assert seen == ["start"]
        assert client.post("/", content=b"x" * 300_000).json() == {
            "state": "kept",
            "body": "x" * 300_000,
        }
    assert seen == ["start", "stop"]


def test_forms_and_files() -> None:
    """A form of either kind arrives as one."""

    def fetch(request: Request) -> Response:
        form = request.form()
        file = form.get("file")
        told = (
            [file.filename, file.content_type, file.data.decode()] if isinstance(file, File) else 0
        )
        return Response.json({"name": form.get("name"), "file": told})

    with Client(fetch) as client:
        assert client.post("/", data={"name": "é&="}).json() == {"name": "é&=", "file": 0}
        sent = client.post("/", data={"name": "a"}, files={"file": ("b.txt", b"hi", "text/plain")})
        assert sent.json() == {"name": "a", "file": ["b.txt", "text/plain", "hi"]}
        with pytest.raises(TypeError, match="one body"):
            client.post("/", json={}, content="x")


def test_errors() -> None:
    """An app's exception is raised at the call, or becomes a 500; a BadBody is the app's 400."""
    with Client(asked) as client:
        with pytest.raises(KeyError, match="missing"):
            client.get("/key")
        with pytest.raises(SystemExit):
            client.get("/exit")
        assert client.post("/json", content="{").status == 400
        assert client.get("/").text == "fine"
    with Client(asked, raise_errors=False) as client:
        answer = client.get("/key")
        assert answer.status == 500
        assert answer.json()["error"]["code"] == "app_error"
        assert "stack" not in answer.json()["error"]  # it is for developers only


def test_an_app_that_does_not_answer() -> None:
    """Waiting ends, with the request in the message, and the app is told that the client left."""
    left = threading.Event()

    def fetch(request: Request) -> Response:
        while not request.is_cancelled():
            time.sleep(0.001)
        left.set()
        return Response("late")

    client = Client(fetch, timeout_s=0.2)
    with pytest.raises(TimeoutError, match="GET /slow"):
        client.get("/slow")
    assert left.wait(10)
    client.close()


def test_streams() -> None:
    """Pieces arrive as they are made, and leaving ends the generator."""
    ended = threading.Event()

    def numbers() -> Iterator[bytes]:
        try:
            for number in range(1_000_000):
                yield b"data: %d\nid: %d\n\n" % (number, number)
        finally:
            ended.set()

    def fetch(_request: Request) -> Response:
        return Response(numbers(), headers={"content-type": "text/event-stream"})

    with Client(fetch) as client:
        with client.stream("GET", "/") as stream:
            assert stream.status == 200
            events = stream.events()
            assert [next(events).data for _ in range(3)] == ["0", "1", "2"]
            assert next(events).id == "3"
        assert ended.wait(10)


def test_an_answer_that_breaks_off() -> None:
    """An exception of a generator reaches the reader."""

    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise RuntimeError("out of paper")

    with Client(lambda _request: Response(pieces())) as client:  # noqa: SIM117  # two steps
        with pytest.raises(RuntimeError, match="out of paper"):
            client.get("/")


def test_large_bodies() -> None:
    """Bodies larger than all windows go both ways, even if the app reads nothing."""

    def fetch(request: Request) -> Response:
        return Response("" if request.path == "/unread" else request.bytes())

    body = os.urandom(3_000_000)
    with Client(fetch) as client:
        assert client.post("/", content=body).body == body
        assert client.post("/unread", content=body).status == 200
        assert client.post("/", content=bytes(11 * 1024 * 1024)).status == 413


def chat(ws: WebSocket) -> None:
    for message in ws:
        if message == "bye":
            ws.close(4000, "as you like")
            return
        ws.send(message)


async def async_chat(ws: AsyncWebSocket) -> None:
    async for message in ws:
        if message == "boom":
            raise ValueError("burst")
        await ws.send(message)


def test_websocket() -> None:
    """Messages of each kind and size go both ways; the app's close gives its reason."""
    with Client(None, websocket=chat) as client:
        assert client.get("/").status == 426
        with client.websocket("/chat") as ws:
            ws.send("hé")
            assert ws.receive() == "hé"
            large = os.urandom(700_000)
            ws.send(large)
            assert ws.receive() == large
            ws.send_json({"a": 1})
            assert ws.receive_json() == {"a": 1}
            ws.send("bye")
            with pytest.raises(WebSocketClosed) as closed:
                ws.receive()
            assert (closed.value.code, closed.value.reason) == (4000, "as you like")


def test_async_websocket_and_its_error() -> None:
    """An exception of an async handler is raised in the test."""
    with Client(None, websocket=async_chat) as client:
        with client.websocket("/") as ws:
            ws.send("a")
            assert ws.receive() == "a"
        with pytest.raises(ValueError, match="burst"), client.websocket("/") as ws:
            ws.send("boom")
            ws.receive()


def test_a_websocket_that_is_denied() -> None:
    """If an app denies a WebSocket, its answer comes with the exception."""

    def deny(_ws: WebSocket) -> Response:
        return Response("members only", status=403)

    with Client(None, websocket=deny) as client:
        with pytest.raises(Denied) as denied:
            client.websocket("/")
        assert (denied.value.answer.status, denied.value.answer.text) == (403, "members only")


def test_a_folder(tmp_path: Path) -> None:
    """A folder's app has its manifest, environment, modules and base, all removed at the end."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "buntime.yaml").write_text("env:\n  COLOR: green\n")
    (folder / "prices.py").write_text("LIST = [1, 2]\n")
    (folder / "note.txt").write_text("beside")
    (folder / "app.py").write_text(
        "import os\nimport prices\nfrom pathlib import Path\nfrom buntime import Response\n"
        "CALLS = []\n"
        "def fetch(request):\n"
        "    CALLS.append(1)\n"
        "    headers = {'set-cookie': 'seen=1; Path=/'}\n"
        "    told = [os.environ['COLOR'], os.environ['TASTE'], os.environ['APP_BASE'],\n"
        "            Path('note.txt').read_text(), prices.LIST, request.base, len(CALLS)]\n"
        "    return Response.json(told, headers=headers)\n"
    )
    before = (os.getcwd(), [*sys.path], "COLOR" in os.environ)
    for _ in range(2):
        with Client(folder, env={"TASTE": "sour"}) as client:
            answer = client.get("/")
            assert answer.json() == ["green", "sour", "/shop", "beside", [1, 2], "/shop", 1]
            assert answer.headers["set-cookie"] == "seen=1; Path=/shop"
            assert client.cookies["seen"] == "1"
            assert client.get("/").json()[-1] == 2
            assert "prices" in sys.modules
        assert "prices" not in sys.modules
    assert (os.getcwd(), [*sys.path], "COLOR" in os.environ) == before


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, "app.py"),
        ({"app.py": "x = 1"}, "nothing to serve"),
        ({"app.py": "fetch = 1", "buntime.yaml": "tll: 1h"}, "ttl"),
    ],
)
def test_folders_that_are_no_app(tmp_path: Path, files: dict[str, str], error: str) -> None:
    """The error is the same as the runtime's."""
    folder = tmp_path / "faulty"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(AppNotLoaded, match=error):
        Client(folder).get("/")
    with pytest.raises(AppNotLoaded, match="no such folder"):
        Client(tmp_path / "missing")


def test_an_exception_at_import(tmp_path: Path) -> None:
    """The module's exception is raised unchanged, and nothing of the module stays."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "app.py").write_text("raise OSError('no database')\n")
    before = [*sys.path]
    with pytest.raises(OSError, match="no database"):
        Client(folder).get("/")
    assert sys.path == before


def test_a_site(tmp_path: Path) -> None:
    """A static site serves its files and redirects, and answers 404 for what it does not have."""
    folder = tmp_path / "pages"
    (folder / "docs").mkdir(parents=True)
    (folder / "index.html").write_text("<head></head>home")
    (folder / "docs" / "index.html").write_text("docs")
    with Client(folder) as client:
        assert client.get("/", headers={"accept": "text/html"}).text.endswith("home")
        assert client.get("/docs", follow_redirects=True).text == "docs"
        assert client.get("/nothing.png").status == 404
        assert client.post("/").status == 405


def test_a_mounted_folder(tmp_path: Path) -> None:
    """Folders of `static` are served as by the runtime, everything else by the app."""
    folder = tmp_path / "mixed"
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "a.css").write_text("a{}")
    (folder / "buntime.yaml").write_text("static:\n  /assets: assets\n")
    (folder / "app.py").write_text(
        "from buntime import Response\ndef fetch(request):\n    return Response(request.path)\n"
    )
    with Client(folder) as client:
        assert client.get("/assets/a.css").headers["content-type"].startswith("text/css")
        assert client.get("/other").text == "/other"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_the_examples(name: str) -> None:
    """Each example of the project can be called this way."""
    folder = EXAMPLES / name
    versions = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0].isdigit())
    with Client(versions[-1] if versions else folder, base=f"/{name}") as client:
        assert client.get("/", headers={"accept": "text/html"}).status < 500


def test_hooks_of_the_end() -> None:
    """on_terminate runs when the client is closed, and the client can be used again."""
    module = ModuleType("hooked")
    ended: list[int] = []
    module.fetch = echo  # type: ignore[attr-defined]  # an app's module
    module.on_terminate = lambda: ended.append(1)  # type: ignore[attr-defined]  # the same
    client = Client(module)
    assert client.get("/").is_success
    client.close()
    assert ended == [1]
    assert client.get("/").is_success
    client.close()
    assert ended == [1, 1]
    client.close()


@pytest.mark.parametrize("given", [3, None, [], "no such folder at all"])
def test_what_is_no_app(given: Any) -> None:
    """What cannot be called is refused, with what can."""
    with pytest.raises(AppNotLoaded):
        Client(given)


def test_nothing_is_left() -> None:
    """Neither threads nor descriptors are left behind."""

    async def fetch(_request: AsyncRequest) -> Response:
        return Response("x")

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    for app in (asked, fetch):
        with Client(app) as client:
            client.get("/")
    threads, files = threading.active_count(), open_files()
    for app in (asked, fetch) * 3:
        with Client(app) as client:
            client.get("/")
    assert (threading.active_count(), open_files()) == (threads, files)


def test_one_that_is_not_closed() -> None:
    """A client that is garbage collected ends its app, including its hooks."""
    module = ModuleType("hooked")
    ended: list[int] = []
    module.fetch = echo  # type: ignore[attr-defined]  # an app's module
    module.on_terminate = lambda: ended.append(1)  # type: ignore[attr-defined]  # the same
    client = Client(module)
    assert client.get("/").is_success
    del client
    assert ended == [1]


def test_answers() -> None:
    """The error for an answer that is not JSON says what it is."""
    with Client(asked) as client:
        answer = client.get("/")
    assert isinstance(answer, Answer)
    with pytest.raises(ValueError, match="text/plain"):
        answer.json()
