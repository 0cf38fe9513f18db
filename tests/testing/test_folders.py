"""Several apps from folders in one process: each runs in its own environment for a call."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime import Request, Response, WebSocket
from buntime.testing import AppNotLoaded, Client
from tests.support.harness import write_app

APP = """
import os
import helper
from buntime import Response, secret

count = 0

def note():
    with open("note") as file:
        return file.read()

def fetch(request):
    global count
    count += 1
    if request.path == "/late":
        import late
        return Response(late.__name__)
    if request.path == "/secret":
        return Response(secret("STRIPE_KEY"))
    return Response.json([
        request.base, os.environ["COLOUR"], os.environ["NODE_ENV"], helper.NAME, note(), count
    ])

def on_terminate():
    print("ended")
"""
FILES = {"index.py": APP, "late.py": "", "note": "read"}


@pytest.fixture
def before() -> Iterator[None]:
    """Checks that a client leaves everything as it was."""

    def now() -> tuple[object, ...]:
        variables = {**os.environ, "PYTEST_CURRENT_TEST": ""}
        return os.getcwd(), variables, sys.path.copy(), sys.meta_path.copy()

    found, modules = now(), {*sys.modules}
    yield
    assert found == now()
    assert modules <= sys.modules.keys()
    assert not {"helper", "late", "index"} & sys.modules.keys()


@pytest.mark.usefixtures("before")
def test_two_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two apps with modules and variables of the same names do not affect each other."""
    one = {**FILES, "helper.py": "NAME = 'a'"}
    shop = write_app(tmp_path / "shop", one, env={"COLOUR": "blue"}, ttl=60)
    two = {**FILES, "helper.py": "NAME = 'b'"}
    other = write_app(tmp_path / "other", two, env={"COLOUR": "red"})
    green = {"COLOUR": "green", "STRIPE_KEY": "test"}
    with Client(shop) as first, Client(other, env=green) as second:
        assert first.get("/").json() == ["/shop", "blue", "test", "a", "read", 1]
        assert second.get("/").json() == ["/other", "green", "test", "b", "read", 1]
        assert first.get("/").json() == ["/shop", "blue", "test", "a", "read", 2]
        assert first.get("/late").text == "late"
        assert second.get("/secret").text == "test"
    with Client(shop) as client:
        assert client.get("/").json()[-1] == 1
    assert capfd.readouterr().out == "ended\n" * 3


@pytest.mark.usefixtures("before")
def test_names_of_the_standard_library(tmp_path: Path) -> None:
    """A file called token.py is the app's, while everyone else gets the library's."""
    code = "import token, tokenize, queue\nfrom buntime import Response\n"
    code += "def fetch(request):\n    return Response(token.NAME + queue.Queue.__module__)\n"
    app = write_app(tmp_path / "shop", {"app.py": code, "token.py": "NAME = 'ours, '"})
    with Client(app) as client:
        assert client.get("/").text == "ours, queue"


def test_versions(tmp_path: Path) -> None:
    """An app with versions answers with the newest, and each version from its own folder."""
    for version in ("1.0.0", "2.0.0"):
        code = f"from buntime import Response\nfetch = lambda request: Response('{version}')"
        write_app(tmp_path / "@acme/shop" / version, {"app.py": code})
    with Client(tmp_path / "@acme/shop") as client:
        assert (client.base, client.get("/").text) == ("/@acme/shop", "2.0.0")
    with Client(str(tmp_path / "@acme/shop/1.0.0")) as client:
        assert (client.base, client.get("/").text) == ("/@acme/shop", "1.0.0")


def test_no_folder(tmp_path: Path) -> None:
    """The error says where the folder was looked for, since its path may be relative."""
    with pytest.raises(AppNotLoaded, match=f"nowhere: there is no such folder in {os.getcwd()}"):
        Client("nowhere")
    with pytest.raises(AppNotLoaded, match="colour"):
        Client(write_app(tmp_path / "typo", {"app.py": ""}, colour="blue"))


def test_threads_are_seen(tmp_path: Path) -> None:
    """The threads of an app's handlers are visible to debuggers and coverage."""
    code = "import threading, time\nfrom buntime import Response\n"
    code += "def fetch(request):\n    time.sleep(0.05)\n"
    code += "    return Response(type(threading.current_thread()).__name__)\n"
    app = write_app(tmp_path / "shop", {"app.py": code}, ttl=60)
    with Client(app) as client:
        seen: list[str] = []
        threads = [
            threading.Thread(target=lambda: seen.append(client.get("/").text)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == ["Thread"] * 4


def test_echo_of_a_large_body() -> None:
    """A body larger than all windows can be sent while the answer is received."""
    body = os.urandom(3_000_000)

    def fetch(request: Request) -> Response:
        return Response(request.stream())

    with Client(fetch, timeout_s=5) as client:
        assert client.post("/", content=body).body == body


def test_many_messages() -> None:
    """Messages of a WebSocket cost credit, even empty ones, and the credit is given back."""

    def websocket(ws: WebSocket) -> None:
        for _ in range(3000):
            ws.send("")
        ws.send(b"x" * 300_000)

    with Client(None, websocket=websocket, timeout_s=5) as client, client.websocket("/") as ws:
        assert [len(message) for message in ws] == [*[0] * 3000, 300_000]


def test_messages_that_meet() -> None:
    """No message is lost that arrives while a large one is sent."""

    def websocket(ws: WebSocket) -> None:
        for message in ws:
            ws.send(message)

    sent = [bytes([number]) * 200_000 for number in range(5)]
    with Client(None, websocket=websocket, timeout_s=5) as client, client.websocket("/") as ws:
        for message in sent:
            ws.send(message)
        assert [ws.receive() for _ in sent] == sent
