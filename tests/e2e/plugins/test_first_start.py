"""Requests that come while plugins are started for the first time, as at each start of the
runtime."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.harness import Runtime, wait_until
from tests.support.manager import lost_by_restarts
from tests.support.pluginfolders import plugged, plugins_of, wait_for_state, write_plugin
from tests.support.rawclient import RawClient, client_of, request

SLOW = """
import os, time

while not os.path.exists({gate!r}):
    time.sleep(0.003)

def on_request(request):
    return None
{more}
"""
MARK = """
def on_response(request, response):
    response.headers["x-seen"] = "yes"
"""
ELSEWHERE = """
from buntime.plugin import Continue

def on_request(request):
    return Continue(app="hello", path="/")
"""
GUARD = """
def on_request(request):
    return None
"""


@contextmanager
def waiting(folder: Path, stage: str, more: str = "") -> Iterator[tuple[Runtime, Path, RawClient]]:
    """A runtime whose guard loads once the file exists, and a client whose request waits for it."""
    gate = folder / "gate"
    source = SLOW.format(gate=str(gate), more=more)
    write_plugin(folder / "plugins", "guard", source, stage=stage)
    with plugged(folder) as runtime, client_of(runtime) as client:
        client.send(request("GET /hello/"))
        assert plugins_of(runtime)["guard"]["state"] == "starting"  # answered after that request
        assert not select.select([client.sock], [], [], 0)[0]
        yield runtime, gate, client


@pytest.mark.parametrize("lacks", ["", "hooks", "sense"])
def test_others_are_waited_for_too(tmp_path: Path, lacks: str) -> None:
    """The first request after a start meets the plugins that later ones meet. Where one turns out
    to have no hooks, or cannot load, the request goes on without it."""
    more = {"": MARK, "hooks": "del on_request", "sense": "1 / 0"}[lacks]
    with waiting(tmp_path, "content", more) as (_, gate, client):
        gate.touch()
        answer = client.read()
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.get("x-seen") == (None if lacks else "yes")


def test_a_way_elsewhere_is_waited_for(tmp_path: Path) -> None:
    """A request that stage route would send elsewhere is not answered with 404 meanwhile."""
    gate = tmp_path / "gate"
    source = SLOW.format(gate=str(gate), more="").split("def on_request")[0] + ELSEWHERE
    write_plugin(tmp_path / "plugins", "way", source, stage="route")
    with plugged(tmp_path) as runtime, client_of(runtime) as client:
        client.send(request("GET /nowhere/"))
        assert plugins_of(runtime)["way"]["state"] == "starting"
        gate.touch()
        assert client.read().body == b"hello"


def test_who_starts_later_holds_nobody_up(tmp_path: Path) -> None:
    """A plugin that is added while the runtime serves, or starts when it is needed (`lazy`), is
    no reason to wait: requests were served without it before."""
    source = SLOW.format(gate=str(tmp_path / "gate"), more="")
    write_plugin(tmp_path / "plugins", "lazy", source, start="lazy")
    with plugged(tmp_path) as runtime, client_of(runtime) as client:
        assert client.get("/hello/").body == b"hello"
        write_plugin(tmp_path / "plugins", "late", source)
        runtime.process.send_signal(signal.SIGHUP)
        wait_for_state(runtime, "late", "starting")
        assert client.get("/hello/").body == b"hello"
        (tmp_path / "gate").touch()  # its end would be waited for


@pytest.mark.parametrize("stage", ["identity", "access"])
def test_it_is_waited_for(tmp_path: Path, stage: str) -> None:
    """Requests that it guards wait until it serves; they are not refused."""
    with waiting(tmp_path, stage) as (_, gate, client):
        gate.touch()
        assert client.read().body == b"hello"


def test_one_that_cannot_load(tmp_path: Path) -> None:
    """If its start fails, those that wait are refused at once, and so are others from then on."""
    with waiting(tmp_path, "access", "1 / 0") as (runtime, gate, client):
        gate.touch()
        assert (client.read().code, client.get("/hello/").code) == ("plugin_unavailable",) * 2
        wait_until(lambda: plugins_of(runtime)["guard"]["state"] != "starting")


def test_others_do_not_wait(tmp_path: Path) -> None:
    """What it does not guard is answered meanwhile."""
    source = SLOW.format(gate=str(tmp_path / "gate"), more="")
    write_plugin(tmp_path / "plugins", "guard", source, stage="access", match={"apps": ["x"]})
    with plugged(tmp_path) as runtime, client_of(runtime) as client:
        assert client.get("/hello/").body == b"hello"
        assert plugins_of(runtime)["guard"]["state"] == "starting"
        (tmp_path / "gate").touch()  # its end would be waited for


def test_a_restart_with_a_guard(tmp_path: Path) -> None:
    """Where the service manager holds the socket, busy clients behind a guard lose nothing."""
    write_plugin(tmp_path / "plugins", "guard", GUARD, stage="identity")
    env = {
        "RUNTIME_PLUGIN_DIRS": str(tmp_path / "plugins"),
        "RUNTIME_STATE_DIR": str(tmp_path / "state"),
    }
    with socket.create_server(("127.0.0.1", 0), backlog=100) as sock:
        address, apps = sock.getsockname(), tmp_path / "apps"
        lost = lost_by_restarts(apps, sock, address, env=env, clients=10, restarts=2, answers=100)
    assert lost == []
