"""WebSockets with ws, Node's most used client package."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import PACKAGES, Runtime, running
from tests.support.hosting import install
from tests.support.nodepackages import needs_npm, node_modules

SOURCE = Path(__file__).parent / "node"
LARGEST_MESSAGES = [
    {"same": True, "isBinary": False},
    {"same": True, "isBinary": False},
    {"same": True, "isBinary": True},
    {"same": True, "isBinary": True},
]
OF_EACH_APP = ("plain", "subprotocol", "close", "denied", "many")
OF_ONE_APP = ("compressed", "fragments", "ping")

pytestmark = needs_npm


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with the packages that package-lock.json pins."""
    return node_modules(SOURCE)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    for name in ("ws_async", "ws_sync", "ws_starlette"):
        install(folder, name, ttl="1h")
    with running(folder, env=PACKAGES) as runtime:
        yield runtime


class Node:
    """Plays the scenarios of client.cjs: those of each app in one process, when the first is asked
    for."""

    def __init__(self, runtime: Runtime, packages: Path) -> None:
        self._runtime = runtime
        self._packages = packages
        self._played: dict[str, dict[str, Any]] = {}

    def play(self, app: str, scenario: str) -> Any:
        """What a scenario has returned."""
        if app not in self._played:
            self._played[app] = played(self._runtime, self._packages, app)
        return self._played[app][scenario]


@pytest.fixture(scope="module")
def node(runtime: Runtime, packages: Path) -> Node:
    return Node(runtime, packages)


@pytest.fixture(params=["ws_async", "ws_sync", "ws_starlette"])
def app(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def played(runtime: Runtime, packages: Path, app: str) -> dict[str, Any]:
    """What node prints."""
    url = f"ws://127.0.0.1:{runtime.port}/{app}"
    more = OF_ONE_APP if app == "ws_async" else ()
    command = ["node", str(SOURCE / "client.cjs"), url, *OF_EACH_APP, *more]
    env = os.environ | {"NODE_PATH": str(packages)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout, "node has ended before the scenarios did"
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_messages(node: Node, app: str) -> None:
    """Text and bytes up to 16 MiB come back as they were sent."""
    assert node.play(app, "plain") == {
        "extensions": "",
        "seen": LARGEST_MESSAGES,
        "closed": [1000, ""],
    }


def test_compressed_messages(node: Node) -> None:
    """The same with permessage-deflate, which ws offers."""
    played = node.play("ws_async", "compressed")
    assert played["extensions"].startswith("permessage-deflate")
    assert played["seen"] == LARGEST_MESSAGES
    assert played["closed"] == [1000, ""]


def test_fragments(node: Node) -> None:
    """The fragments of a message are joined."""
    assert node.play("ws_async", "fragments") is True


def test_a_ping_while_the_app_is_busy(node: Node) -> None:
    """Pings are answered even while the app waits for something else."""
    assert node.play("ws_async", "ping") == "while the app is busy"


def test_the_handshake(node: Node, app: str) -> None:
    """The app's subprotocol and header fields reach the client, and the client's reach the app."""
    played = node.play(app, "subprotocol")
    assert (played["subprotocol"], played["room"]) == ("v2", "blue")
    assert played["scope"]["cookie"] == "d"
    assert played["scope"]["subprotocols"] == ["v1", "v2"]
    assert played["closed"][0] == 1000


def test_the_app_closes(node: Node, app: str) -> None:
    """The app's close code and reason reach the client."""
    assert node.play(app, "close") == [4001, "\u20ac"]


def test_denial(node: Node, app: str) -> None:
    """The app's response to a handshake is an HTTP answer, with its body."""
    assert node.play(app, "denied") == [401, "no cookie", "log in first"]


def test_many(node: Node, app: str) -> None:
    """Each of 50 open at once gets its own messages."""
    assert node.play(app, "many") is True
