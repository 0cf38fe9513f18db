"""WebSockets with ws, Node's most used client package.

The client speaks with the runtime, whatever kind of app is behind it: test_websocket.py has them
all.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Runtime, running
from tests.support.hosting import install
from tests.support.nodepackages import needs_npm, node_modules

SOURCE = Path(__file__).parent / "node"
LARGEST_MESSAGES = [
    {"same": True, "isBinary": False},
    {"same": True, "isBinary": False},
    {"same": True, "isBinary": True},
    {"same": True, "isBinary": True},
]
SCENARIOS = (
    "plain",
    "subprotocol",
    "close",
    "denied",
    "many",
    "compressed",
    "fragments",
    "ping",
)

pytestmark = needs_npm


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with the packages that package-lock.json pins."""
    return node_modules(SOURCE)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    install(folder, "ws_async", ttl="1h")
    with running(folder) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def played(runtime: Runtime, packages: Path) -> dict[str, Any]:
    """What each scenario of client.cjs has returned; all are played in one process."""
    url = f"ws://127.0.0.1:{runtime.port}/ws_async"
    command = ["node", str(SOURCE / "client.cjs"), url, *SCENARIOS]
    env = os.environ | {"NODE_PATH": str(packages)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout, "node has ended before the scenarios did"
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_messages(played: dict[str, Any]) -> None:
    """Text and bytes up to 16 MiB come back as they were sent."""
    assert played["plain"] == {
        "extensions": "",
        "seen": LARGEST_MESSAGES,
        "closed": [1000, ""],
    }


def test_compressed_messages(played: dict[str, Any]) -> None:
    """The same, up to 1 MiB, with permessage-deflate, which ws offers."""
    told = played["compressed"]
    assert told["extensions"].startswith("permessage-deflate")
    assert told["seen"] == LARGEST_MESSAGES
    assert told["closed"] == [1000, ""]


def test_fragments(played: dict[str, Any]) -> None:
    """The fragments of a message are joined."""
    assert played["fragments"] is True


def test_a_ping_while_the_app_is_busy(played: dict[str, Any]) -> None:
    """Pings are answered even while the app waits for something else."""
    assert played["ping"] == "while the app is busy"


def test_the_handshake(played: dict[str, Any]) -> None:
    """The app's subprotocol and header fields reach the client, and the client's reach the app."""
    told = played["subprotocol"]
    assert (told["subprotocol"], told["room"]) == ("v2", "blue")
    assert told["scope"]["cookie"] == "d"
    assert told["scope"]["subprotocols"] == ["v1", "v2"]
    assert told["closed"][0] == 1000


def test_the_app_closes(played: dict[str, Any]) -> None:
    """The app's close code and reason reach the client."""
    assert played["close"] == [4001, "\u20ac"]


def test_denial(played: dict[str, Any]) -> None:
    """The app's response to a handshake is an HTTP answer, with its body."""
    assert played["denied"] == [401, "no cookie", "log in first"]


def test_many(played: dict[str, Any]) -> None:
    """Each of 50 open at once gets its own messages."""
    assert played["many"] is True
