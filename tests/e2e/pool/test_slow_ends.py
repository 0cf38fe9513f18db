"""Workers that take long to end make no other request wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, running, write_app

CALM = "from buntime import Response\ndef fetch(request):\n    return Response('fine')\n"
SLOW = CALM + "import time\ndef on_terminate():\n    time.sleep(8)\n"
STAYS = CALM + "import atexit, time\natexit.register(time.sleep, 8)\n"
PROMPT_S = 2.0


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    apps = tmp_path / "apps"
    write_app(apps / "calm", {"app.py": CALM}, ttl=3600)
    write_app(apps / "other", {"app.py": CALM}, ttl=3600)
    write_app(apps / "slow", {"app.py": SLOW}, ttl=0)
    write_app(apps / "stays", {"app.py": STAYS}, ttl=0)
    with running(apps, env={"RUNTIME_POOL_SIZE": "2", "RUNTIME_SHUTDOWN_TIMEOUT": "1"}) as started:
        yield started


def asked(runtime: Runtime, path: str) -> float:
    begun = time.monotonic()
    assert fetch(runtime, path).body == b"fine"
    return time.monotonic() - begun


@pytest.mark.parametrize("path", ["/slow/", "/stays/"])
def test_the_next_request_does_not_wait(runtime: Runtime, path: str) -> None:
    """Neither a slow hook nor `atexit` delays a request: another process serves, within bounds."""
    assert asked(runtime, "/calm/") < PROMPT_S
    assert asked(runtime, path) < PROMPT_S
    assert asked(runtime, path) < PROMPT_S
    assert asked(runtime, "/other/") < PROMPT_S
    names = ("calm", "other", path.strip("/"))
    assert sum(len(workers_of(runtime, name)) for name in names) <= 3
