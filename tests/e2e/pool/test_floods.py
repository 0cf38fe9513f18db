"""Apps and their children that write without end stop nobody but themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, running, wait_until, write_app

CALM = "from buntime import Response\ndef fetch(request):\n    return Response('fine')\n"
FLOODS = """
import os, subprocess, threading, time
from buntime import Response

def newlines():
    while True:
        os.write(1, b"\\n" * 65536)

def fetch(request):
    if request.path == "/thread":
        threading.Thread(target=newlines, daemon=True).start()
        return Response("writing")
    subprocess.Popen(["setsid", "yes"])
    time.sleep(0.1)
    os._exit(1)
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    apps = tmp_path / "apps"
    write_app(apps / "calm", {"app.py": CALM}, ttl=600)
    write_app(apps / "floods", {"app.py": FLOODS}, ttl=600)
    # Its log is not read while it floods: what the runtime does with it is what is tested.
    with running(apps) as started:
        assert fetch(started, "/calm/").body == b"fine"
        yield started


def asked(runtime: Runtime) -> float:
    """How many seconds the calm app's answer takes."""
    begun = time.monotonic()
    assert fetch(runtime, "/calm/").body == b"fine"
    return time.monotonic() - begun


def test_a_child_that_keeps_the_pipes_of_a_dead_worker(runtime: Runtime) -> None:
    """Its worker's death is noticed and answered for; the child's output holds up nobody."""
    assert fetch(runtime, "/floods/exit").status == 502
    assert median(asked(runtime) for _ in range(20)) < 0.25
    assert runtime.stop() == 0


def test_a_thread_that_prints_without_end(runtime: Runtime) -> None:
    """Other apps are answered soon, and the log says how many lines it left out."""
    assert fetch(runtime, "/floods/thread").body == b"writing"
    assert median(asked(runtime) for _ in range(50)) < 0.25
    record = runtime.wait_for_record("app.output_dropped")
    assert record["lines"] > 10_000
    wait_until(lambda: asked(runtime) < 0.25, what="a quick answer")
    assert runtime.stop() == 0
