"""Processes of apps in a real runtime, while code and secrets change, and when it is killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.support.client import fetch
from tests.support.harness import OPERATORS_KEY, is_alive, running, wait_until, write_app

WORKER = """
import os, subprocess, time
from shop import PRICE
child = subprocess.Popen(["sleep", "60"])
print(PRICE, os.environ["SIGNING_SALT"], os.getpid(), child.pid, flush=True)
time.sleep(60)
"""


def test_their_life(tmp_path: Path) -> None:
    """A process is restarted when code or secrets change, operators see it as a worker, and it ends
    with the runtime, also if that is killed."""
    app = write_app(
        tmp_path / "apps/shop",
        {"app.py": "", "shop.py": "PRICE = 1", "worker.py": WORKER},
        processes={"worker": "python worker.py"},
        secrets=["SIGNING_SALT"],
    )
    env = {"RUNTIME_STATE_DIR": f"{tmp_path}/s", "RUNTIME_ENV": "production"}
    folder = tmp_path / "s/secrets/shop"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "SIGNING_SALT").write_text("s1")
    (folder / "SIGNING_SALT").chmod(0o600)
    with running(tmp_path / "apps", env=env) as runtime:

        def said(start: str) -> list[int]:
            lines = [each["message"] for each in runtime.records if each["event"] == "app.output"]
            found = [line.split()[2:] for line in lines if line.startswith(start)]
            return [int(each) for each in found[-1]] if found else []

        wait_until(lambda: said("1 s1"))
        first = said("1 s1")
        (app / "shop.py").write_text("PRICE = 22")
        wait_until(lambda: said("22 s1"))
        assert not any(map(is_alive, first))
        key = {"X-API-Key": OPERATORS_KEY, "Content-Type": "application/json"}
        body = json.dumps({"value": "s2"}).encode()
        path = "/api/apps/shop/secrets/SIGNING_SALT"
        assert fetch(runtime, path, method="PUT", headers=key, body=body).status == 200
        wait_until(lambda: said("22 s2"))
        pid, child = said("22 s2")
        told = fetch(runtime, "/api/workers", headers=key).json()["workers"]
        assert [each["pid"] for each in told if each.get("program") == "process:worker"] == [pid]
        text = fetch(runtime, "/metrics", headers=key).body.decode()
        assert 'buntime_process_up{app="shop",process="worker"} 1.0' in text
        runtime.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not is_alive(pid) and not is_alive(child))
