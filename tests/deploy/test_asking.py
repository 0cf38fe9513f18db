"""tests/kubernetes/asking.sh sends requests while pods are updated, and counts lost ones."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes.objects import APP, ASKING, told
from tests.support.harness import Runtime, running, wait_until, write_app


@contextmanager
def asking(port: int, folder: Path) -> Iterator[list[int]]:
    """The script sends requests during the block; the list gets the counts that it reports."""
    env = {"PATH": os.environ["PATH"], "SERVER": "127.0.0.1", "PORT": str(port)}
    env |= {"REQUEST_PATH": "/web/", "AT_A_TIME": "3", "END": str(folder / "end")}
    counts: list[int] = []
    with subprocess.Popen(["bash", "-c", ASKING], env=env, stdout=subprocess.PIPE) as process:
        yield counts
        (folder / "end").touch()
        said = process.communicate(timeout=40)[0].decode()
    counts += told(said)


def _served(runtime: Runtime) -> int:
    """How many requests the log shows as finished."""
    return [record["event"] for record in tuple(runtime.records)].count("request.access")


def test_all_are_answered(tmp_path: Path) -> None:
    """While the runtime serves, nothing is lost, and the script's count is that of the log."""
    write_app(tmp_path / "apps/web", {"app.py": APP}, ttl=60)
    with running(tmp_path / "apps") as runtime:
        with asking(runtime.port, tmp_path) as counts:
            wait_until(lambda: _served(runtime) > 20)
        wait_until(lambda: _served(runtime) == counts[0])
    assert counts[1] == 0


def test_what_is_lost_is_told(tmp_path: Path) -> None:
    """Requests to a runtime that has ended count as lost, and the script goes on."""
    write_app(tmp_path / "apps/web", {"app.py": APP}, ttl=60)
    with running(tmp_path / "apps") as runtime, asking(runtime.port, tmp_path) as counts:
        wait_until(lambda: _served(runtime) > 5)
        runtime.stop(signal.SIGTERM)
    assert counts[0] > 5
    assert counts[1] > 0
