"""A runtime that is told to stop loses no request of a client that does what HTTP/1.1 says."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.support.harness import STOP_S, running, write_app
from tests.support.keptclients import busy
from tests.support.rawclient import client_of, request

APP = """
from buntime import Response

def fetch(request):
    text = request.query["n"]
    if "piecewise" not in request.query:
        return Response(text)
    return Response(pieces(text), headers={"content-length": str(len(text))})

def pieces(text):
    yield text[:1].encode()
    yield text[1:].encode()
"""
_AT_ONCE = 300  # connections in the backlog, far more than are accepted in one turn of the loop


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "kept", {"app.py": APP}, ttl=600, concurrency=20)
    return folder


def test_busy_clients_lose_nothing(apps: Path) -> None:
    """Clients that keep their connections and send as fast as they are answered get each answer;
    then their connections end, and the runtime."""
    targets = ["/kept/?n={}"] * 14 + ["/kept/?piecewise=1&n={}"] * 6
    for _ in range(3):
        with running(apps) as runtime, busy(("127.0.0.1", runtime.port), targets) as clients:
            assert runtime.stop() == 0
            assert clients.are_gone(STOP_S)
            assert clients.lost == []


def test_those_in_the_backlog_are_answered(apps: Path) -> None:
    """All who have connected and sent their request when the signal comes are answered, even if
    nobody has accepted them yet."""
    with running(apps) as runtime, contextlib.ExitStack() as stack:
        with client_of(runtime) as first:
            assert first.get("/kept/?n=0").body == b"0"
        os.kill(runtime.pid, signal.SIGSTOP)
        clients = [stack.enter_context(client_of(runtime)) for _ in range(_AT_ONCE)]
        for number, client in enumerate(clients):
            client.send(request(f"GET /kept/?n={number}"))
        runtime.process.send_signal(signal.SIGTERM)
        os.kill(runtime.pid, signal.SIGCONT)
        for number, client in enumerate(clients):
            reply = client.read()
            assert (reply.body, reply.get("connection")) == (str(number).encode(), "close")
        assert runtime.process.wait(STOP_S) == 0


def test_clients_that_do_nothing_do_not_delay_it(apps: Path) -> None:
    """Connections that are idle, new or stay in the middle of a head are not waited for: the stop
    ends long before their time limits would."""
    env = {"RUNTIME_SHUTDOWN_TIMEOUT": "5m", "RUNTIME_HEAD_TIMEOUT": "5m"}
    with (
        running(apps, env=env) as runtime,
        client_of(runtime) as idle,
        client_of(runtime) as half,
        client_of(runtime),
    ):
        assert idle.get("/kept/?n=0").body == b"0"
        half.send(b"GET /kept/")
        assert runtime.stop() == 0
    assert not [each for each in runtime.records if each["event"] == "runtime.connections_cut"]
