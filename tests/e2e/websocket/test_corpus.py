"""Every handshake and every ending of the corpus against a running runtime, through a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.corpus.cases import Case, load_cases
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.rawclient import client_of
from tests.support.rawsocket import CLOSE, TEXT, socket_of, switched, write_frame

# Codes by which a client of the corpus closes cleanly.
ENDINGS = "1000 1001 1005 1014 3000 4999".split()
APP = """
from buntime import Response

async def websocket(ws):
    if ws.path == "/refuse":
        return
    if ws.path == "/close":
        return await ws.close()
    if ws.path == "/deny":
        return Response("log in first", 401)
    async for message in ws:
        await ws.send(message)
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "ws", {"app.py": APP}, ttl=60)
    with running(folder) as runtime:
        yield runtime


@pytest.mark.parametrize("slowly", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", load_cases("handshake"), ids=str)
def test_handshakes(runtime: Runtime, case: Case, slowly: bool) -> None:
    """A handshake is answered with its status, a malformed one by a plain HTTP answer and a clean
    close; 426 says what to ask for."""
    with client_of(runtime) as client:
        (client.send_slowly if slowly else client.send)(case.data)
        status = int(case.expected[0])
        if status == 101:
            ws = switched(client)
            ws.send_text("hello")
            assert ws.read_text() == "hello"
            return
        reply = client.read("HEAD" if case.data.startswith(b"HEAD") else "GET")
        assert reply.status == status
        if status == 426:
            assert reply.get("upgrade") == "websocket"
        elif status == 400:
            assert reply.get("connection") == "close"
            client.expect_end()


@pytest.mark.parametrize("slowly", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", load_cases("frames"), ids=str)
def test_frames(runtime: Runtime, case: Case, slowly: bool) -> None:
    """The close code is that of the case, and the connection ends cleanly; what came before is
    answered, what comes after is not."""
    code, _, offer = case.expected[0].partition(" ")
    fields = [f"Sec-WebSocket-Extensions: {offer}"] if offer else []
    with socket_of(runtime, "/ws/", *fields) as ws:
        data = write_frame(TEXT, b"hi") + case.data
        if slowly and len(data) < 100:
            ws.send_slowly(data)
        else:
            ws.send(data + write_frame(TEXT, b"behind"))
        answered = 0
        while (frame := ws.read()).opcode == TEXT:
            assert frame.payload == b"hi"
            answered += 1
        assert frame.opcode == CLOSE
        assert frame.payload[:2] == (b"" if code == "1005" else int(code).to_bytes(2, "big"))
        ws.expect_end()
        # A client that closes by itself does not wait for answers any more.
        if code not in ENDINGS:
            assert answered == (2 if case.name == "continuation_after_message" else 1)


def test_no_case_harmed_the_worker(runtime: Runtime) -> None:
    """After the whole corpus its one worker is still there, with nothing in hand, and serves."""
    with socket_of(runtime, "/ws/") as ws:
        ws.send_text("hello")
        assert ws.read_text() == "hello"

    def workers() -> list[tuple[int, str]]:
        with client_of(runtime) as client:
            every = client.get("/api/workers").json["workers"]
        return [(each["inHand"], each["status"]) for each in every if each["app"] == "ws"]

    wait_until(lambda: workers() == [(0, "idle")], what="the one worker to be idle")
    wrong = ("runtime.internal_error", "worker.died", "app.request_failed")
    assert not [record for record in runtime.records if record["event"] in wrong]
