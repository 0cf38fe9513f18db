"""The worker on the oldest Python that apps may have, and on new ones."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fence import Fence, needs_sandbox
from tests.support.peer import opened
from tests.support.plugins import WORDS, asked, start_plugin
from tests.support.services import call, give, outcome, take_item, the_call
from tests.support.workshop import Workshop, workshop
from tests.worker.test_asgi import STRICT
from tests.worker.test_followers import KINDS, STRESS, check, start
from tests.worker.test_meter import ASYNC, SYNC, tells
from tests.worker.test_shadows import KINDS as SHADOWED
from tests.worker.test_shadows import ask_all, shadow_all
from tests.worker.test_streams import DOWNLOAD, UPLOAD
from tests.worker.test_wsgi import ENVIRON


@pytest.fixture(params=["3.9", "3.10", "3.12", "3.13", "3.14"], scope="module")
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter of that version, if the machine has one."""
    name = f"python{request.param}"
    found = shutil.which(name)
    candidates = [Path(found)] if found else []
    if found and Path(found).parent.name == "shims":  # pyenv: runs only if it is selected
        versions = Path(found).parent.parent / "versions"
        candidates = sorted(versions.glob(f"{request.param}.*/bin/{name}"))
    for candidate in candidates:
        if subprocess.run([candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
            return str(candidate)
    pytest.skip(f"{name} is not on the PATH, or does not run")


@pytest.fixture
def old_shop(python: str, bundle: Path, tmp_path: Path) -> Iterator[Workshop]:
    folder = tmp_path / "app"
    folder.mkdir()
    with workshop(bundle, folder) as made:
        made.python = python
        made.forks = True  # except where its start, its imports or its end are tested
        yield made


def test_fetch(old_shop: Workshop) -> None:
    """Handlers and routes, sync and async, work there."""
    source = """
    from __future__ import annotations
    from buntime import Request, Response
    {async_}def show(request: Request) -> Response:
        body = {await_}request.form()
        return Response.json({{**request.params, **dict(body.items())}})
    def pieces():
        yield "a"
        yield "b"
    routes = {{"/:id": {{"POST": show}}, "/pieces": lambda request: Response(pieces())}}
    """
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for words in ({"async_": "", "await_": ""}, {"async_": "async ", "await_": "await "}):
        worker = old_shop.start(source.format(**words), path=[])
        answer = worker.get("/shop/7", "POST", headers, b"a=b")
        assert answer.json == {"id": "7", "a": "b"}
        assert worker.get("/shop/pieces").text == "ab"
        assert worker.get("/shop/x/y").status == 404
        assert worker.terminate() == 0
        assert worker.stderr == ""


def test_shadows(old_shop: Workshop) -> None:
    """The worker does not import an app's files with names of the standard library there."""
    old_shop.forks = False
    shadow_all(old_shop)
    for kind in ("wsgi", "async fetch"):
        ask_all(old_shop.start(SHADOWED[kind], path=[]))


def test_streams(old_shop: Workshop) -> None:
    """Bodies stream both ways there, in each kind."""
    for kind in UPLOAD:
        worker = old_shop.start(UPLOAD[kind], path=[])
        number = worker.request(method="POST", end=False)
        worker.upload(number, b"x" * 500_000)
        assert worker.answer(number).text == "500000"
        worker = old_shop.start(DOWNLOAD[kind], path=[])
        number = worker.request("/shop/pieces")
        worker.take(lambda m, number=number: m.get("id") == number)
        worker.cancel(number)
        assert worker.answer(number, grants=False).types[-1] == "ERROR"
        assert len(worker.get("/shop/whole").body) == 1_000_000
        assert worker.terminate() == 0
        assert worker.stderr == ""


def test_validators(old_shop: Workshop) -> None:
    """wsgiref's validator and the strict ASGI app find no fault there."""
    worker = old_shop.start(ENVIRON, path=[])
    assert worker.get("/shop/x").json["PATH_INFO"] == "/x"
    assert worker.stderr == ""
    worker = old_shop.start(STRICT, path=[])
    headers = [("host", "example.com"), ("x-a", "1"), ("x-a", "\xe9")]
    answer = worker.get("/shop/a%20b/%C3%A9?q=%20", "POST", headers, b"abc")
    assert (answer.text, answer.error) == ("abc", None)
    assert worker.terminate() == 0
    assert worker.stderr == ""


def test_threads(old_shop: Workshop) -> None:
    """The threads of sync apps serve any mixture of requests there."""
    for concurrency in (1, 8):
        worker = old_shop.start(STRESS, path=[], concurrency=concurrency)
        in_hand = [start(worker, kind) for kind in KINDS]
        for kind, number in in_hand:
            check(worker, kind, number)
        assert worker.terminate() == 0


@pytest.mark.parametrize("source", [ASYNC, SYNC], ids=["async", "sync"])
def test_busy_shares(old_shop: Workshop, source: str) -> None:
    """A worker that computes reports so there."""
    worker = old_shop.start(source, path=[], tells_busy=True)
    number = worker.request("/shop/compute-20")
    tells(worker, lambda share: share > 0.7, "while it computes")
    (worker.app / "enough").touch()
    assert worker.answer(number).text == "done"


def test_files_that_were_imported(old_shop: Workshop) -> None:
    """If asked to, a worker reports which of its app's files are modules; odd objects that the app
    has put among the modules do not matter."""
    old_shop.forks = False
    source = """
import sys, lib.part
class Odd:
    __file__ = property(lambda self: sys.exit("called"))
    def __getattribute__(self, name): sys.exit("called")
sys.modules["odd"], sys.modules["none"], sys.modules["number"] = Odd(), None, 7
lib.part.__dict__["__file__"] = 5
def fetch(request): ...
"""
    for name, text in {"__init__": "", "part": "import lib.other", "other": ""}.items():
        old_shop.write(text, f"lib/{name}.py")
    ready = old_shop.boot(source, path=[], tells_files=True).ready()
    assert sorted(ready["files"]) == ["app.py", "lib/__init__.py", "lib/other.py"]
    assert "files" not in old_shop.boot(source, path=[]).ready()


def test_a_framework_that_was_imported(old_shop: Workshop) -> None:
    """If asked to, a worker reports the framework that keeps sessions; neither an app's file with
    such a name nor what the app has put among the modules counts."""
    old_shop.forks = False
    source = """
import sys, gradio, panel
class Odd:
    def __getattribute__(self, name): sys.exit("called")
sys.modules["streamlit"] = Odd()
def fetch(request): ...
"""
    old_shop.write("", "gradio.py")
    for package in ("panel", "shiny"):
        old_shop.write("", f"{package}/__init__.py")
    ready = old_shop.boot(source, path=[], tells_framework=True).ready()
    assert ready["framework"] == ""
    ready = old_shop.boot(f"import shiny{source}", path=[], tells_framework=True).ready()
    assert ready["framework"] == "Shiny"
    assert "framework" not in old_shop.boot(source, path=[]).ready()


def test_faults(old_shop: Workshop) -> None:
    """Errors are reported as they are elsewhere."""
    old_shop.forks = False
    worker = old_shop.start("def fetch(request):\n    raise KeyError('x')", path=[])
    answer = worker.get()
    assert answer.error == "KeyError: 'x'"
    assert "worker" not in answer.stack
    error = old_shop.boot("import nowhere", path=[]).boot_error()
    told = "app.py: ModuleNotFoundError: No module named 'nowhere' (line "
    assert error["message"].startswith(told)
    assert error["message"].endswith(".venv/bin/pip install nowhere")
    assert "importlib" not in error["stack"]


def test_lifeline(old_shop: Workshop) -> None:
    """Nothing outlives the runtime there."""
    old_shop.forks = False
    worker = old_shop.boot("while True: pass", path=[])
    worker.drop_lifeline()
    assert worker.process.wait(20) in (1, -9)


def test_multiprocessing(old_shop: Workshop) -> None:
    """Processes that the app spawns can import the app and buntime there."""
    old_shop.forks = False
    source = """
    import multiprocessing
    from buntime import Response
    def double(n):
        return 2 * n
    def fetch(request):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return Response(str(pool.map(double, [1, 2])))
    """
    worker = old_shop.start(source, path=[])
    assert worker.get().text == "[2, 4]"


def test_sockets_and_events(old_shop: Workshop) -> None:
    """WebSockets and events, sync and async, work there."""
    source = """
    import asyncio
    from buntime import Event, Response, WebSocket
    {async_}def events():
        yield Event({{"a": 1}}, id=1)
    {async_}def fetch(request):
        return Response.events(events(), heartbeat=0.001)
    {async_}def websocket(ws: WebSocket):
        {async_}for message in ws:
            {await_}ws.send(message)
    """
    for words in ({"async_": "", "await_": ""}, {"async_": "async ", "await_": "await "}):
        worker = old_shop.start(source.format(**words), path=[])
        assert 'id: 1\ndata: {"a":1}\n\n' in worker.get().text
        peer = opened(worker)
        for message in ("hello", b"x" * 300_000):
            peer.send(message)
            assert peer.receive() == message
        peer.close()
        assert peer.closed()[2] is True


def test_plugin_hooks(old_shop: Workshop) -> None:
    """Hooks of plugins, sync and async, run there."""
    source = """
    from buntime.plugin import Continue, Response, plugin
    {async_}def on_init():
        plugin.log.info("%s", plugin.config)
    {async_}def on_request(request):
        if {await_}request.text() == "no":
            return Response("no", 401)
        return Continue(headers={"x-user": "ann"}, cache_s=5, vary=["cookie:sid"])
    {async_}def on_response(request, response):
        response.headers["x-a"] = "1"
    """
    for words in WORDS:
        worker = start_plugin(old_shop, source, words, config={"a": 1})
        assert worker.stderr == "<6>{'a': 1}\n"
        assert asked(worker).said["headers"] == {"x-user": "ann"}
        assert asked(worker, body=b"no").text == "no"
        answer = asked(worker, "on_response", response={"status": 200, "headers": []})
        assert answer.said == {"status": 200, "headers": [["x-a", "1"]]}
        assert worker.terminate() == 0


def test_services(old_shop: Workshop) -> None:
    """Services are offered and called there, sync and async, with streams and large contents."""
    source = """
    from buntime.plugin import plugin, exposed
    kv = plugin.SERVICE("kv")
    class Store:
        @exposed
        {async_}def get(self, key):
            return [plugin.caller, {await_}kv.get(key, b"x" * 200_000)]
        @exposed
        {async_}def count(self):
            yield 1
            yield b"2"
    services = {"kv": Store()}
    """
    for words in WORDS:
        kind = "service" if words == "sync" else "async_service"
        worker = start_plugin(old_shop, source.replace("SERVICE", kind), words)
        number = call(worker, "get", "a")
        inner = the_call(worker)
        assert len(inner["payload"]) == 200_000
        give(worker, inner, {"$bytes": 3}, b"abc")
        got = outcome(worker, number)
        assert (got.value, got.payload) == (["app:shop", {"$bytes": 3}], b"abc")
        number = call(worker, "count")
        assert outcome(worker, number).message["stream"]
        assert [take_item(worker, number) for _ in range(2)] == [1, {"$bytes": 1}]
        assert take_item(worker, number)["end"]
        assert worker.terminate() == 0
        assert worker.stderr == ""


@needs_sandbox
def test_sandbox(old_shop: Workshop) -> None:
    """A worker confines itself there, and its app can do what apps do, if least is allowed."""
    old_shop.forks = False
    source = """
    import multiprocessing, os, pathlib
    from buntime import Response
    def fetch(request):
        counted = []
        if request.path == "/pool":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                counted = pool.map(len, ["ab"])
        try:
            open(os.environ["AROUND"] + "/other/app.py")
        except PermissionError:
            return Response(str(counted))
    """
    for level, target, text in (("standard", "/shop/", "[]"), ("strict", "/shop/pool", "[2]")):
        with Fence(old_shop) as fence:
            init = fence.init(level)  # type: ignore[arg-type]  # a level
            worker = old_shop.start(source, path=[], **init)
            assert worker.get(target).text == text
            assert worker.stderr == ""
