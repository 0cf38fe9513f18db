"""What an app says reaches plugins only in a form that their workers can read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from buntime import wire
from tests.support.client import fetch
from tests.support.harness import Runtime, read_all, write_app
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin
from tests.support.rawsocket import handshake
from tests.support.workerchannel import CHANNEL

LOOKING = """
from buntime.plugin import exposed

def on_response(request, response):
    response.headers["x-seen"] = "yes"

class Kv:
    @exposed
    def echo(self, value):
        return value

services = {"kv": Kv()}
"""
# Answers with long headers, or writes what a request asks for to the channel.
APP = (
    CHANNEL
    + """
import time
from buntime import Response

def fetch(request):
    if "chars" in request.query:
        return Response("long", headers={"x-long": "a" * int(request.query["chars"])})
    said = request.bytes()
    while said:
        said = said[os.write(channel(), said):]
    os._exit(0)

def websocket(ws):
    os.write(channel(), bytes.fromhex(ws.path.strip("/")))
    time.sleep(3600)
"""
)
# The runtime reads up to about 980 levels; a worker reads fewer, the deeper its stack.
LEVELS = (900, 940, 960, 970, 980)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("hostile")
    provides = {"kv": {"to": "all"}}
    write_plugin(folder / "plugins", "looking", LOOKING, provides=provides, onError="ignore")
    write_app(folder / "apps" / "says", {"app.py": APP}, uses=["kv"], ttl=0)
    with plugged(folder, RUNTIME_SHUTDOWN_TIMEOUT="1") as started:
        wait_for_state(started, "looking", "serving")
        yield started


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def response(headers: str, status: str = "200") -> bytes:
    line = f'{{"type":"RESPONSE","id":1,"status":{status},"headers":{headers},"end":true}}\n'
    return line.encode()


def check_unharmed(runtime: Runtime) -> None:
    """The plugin's first process still looks at answers."""
    assert fetch(runtime, "/hello/").headers["x-seen"] == "yes"
    assert "plugin.died" not in {each["event"] for each in runtime.records}
    assert "runtime.internal_error" not in {each["event"] for each in runtime.records}


@pytest.mark.parametrize(
    "said",
    [
        *(response(f'[["x-deep",{deep(levels)}]]') for levels in LEVELS),
        response('[["x",7]]'),
        response('[["x",NaN]]'),
        response('[["x","a\\r\\nb: c"]]'),
        response('[["x"]]'),
        response("[]", status=deep(LEVELS[0])),
        response("[]", status="NaN"),
        response('[["x","' + "é" * 400_000 + '"]]'),
    ],
)
def test_an_answer_that_no_worker_could_read(runtime: Runtime, said: bytes) -> None:
    """It is the app's fault, and ends no plugin that was to look at it."""
    assert fetch(runtime, "/says/", method="POST", body=said).status == 502
    check_unharmed(runtime)


def test_an_answer_with_a_head_of_a_megabyte(runtime: Runtime) -> None:
    """A head that fits a line of the app's worker may not fit one for a plugin."""
    assert fetch(runtime, "/says/?chars=50000").headers["x-seen"] == "yes"
    answer = fetch(runtime, f"/says/?chars={wire.MAX_LINE - 300}")
    assert (answer.status, b"bad_answer" in answer.body) == (502, True)
    check_unharmed(runtime)


@pytest.mark.parametrize("levels", LEVELS)
def test_a_call_that_no_worker_could_read(runtime: Runtime, levels: int) -> None:
    """It is the caller's fault, and ends no plugin that offers the service."""
    call = (
        '{"type":"CALL","id":-1,"service":"kv","method":"echo","args":'
        f'[{deep(levels)}],"kwargs":{{}}}}\n'
    )
    assert fetch(runtime, "/says/", method="POST", body=call.encode()).status == 502
    check_unharmed(runtime)


@pytest.mark.parametrize("kinds", [(7,), ([],), ("text", "bytes")])
def test_a_message_that_cannot_be_sent(runtime: Runtime, kinds: tuple[object, ...]) -> None:
    """It waits while a plugin looks at the handshake; it ends the WebSocket, and not the plugin."""
    said = wire.encode(
        {"type": "ACCEPT", "id": 1, "subprotocol": None, "headers": [], "open_ended": False}
    )
    for kind in kinds:
        piece = {"type": "MESSAGE", "id": 1, "kind": kind, "size": 1, "end": False}
        said += wire.encode(piece) + b"a"
    with runtime.connect() as sock:
        sock.sendall(handshake(f"/says/{said.hex()}"))
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"x-seen: yes" in answer
    assert answer.endswith(b"\x88\x02\x03\xf3")  # closed with 1011
    runtime.wait_for_record("app.answer_invalid", app="says")
    check_unharmed(runtime)
