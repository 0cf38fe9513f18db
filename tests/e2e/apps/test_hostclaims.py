"""A host stays with the app that had it first, also over a restart, until an operator moves it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.support.client import fetch
from tests.support.harness import Runtime, running, wait_until, write_app

HOST = {"Host": "x.example.com"}
APP = "from buntime import Response\ndef fetch(request): return Response('{}')\n"


def answer(runtime: Runtime) -> str:
    got = fetch(runtime, "/", headers=HOST)
    return got.body.decode() if got.status == 200 else str(got.status)


def test_a_host_stays(tmp_path: Path) -> None:
    """Nobody gets it by naming it while its app is away."""
    apps, config = tmp_path / "apps", tmp_path / "config.yaml"
    (tmp_path / "state").mkdir()
    config.write_text("")
    shop = write_app(apps / "shop", {"app.py": APP.format("shop")}, hosts=["x.example.com"])
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_STATE_DIR": str(tmp_path / "state"),
        "RUNTIME_CONFIG": str(config),
    }
    with running(apps, env=env) as runtime:
        wait_until(lambda: answer(runtime) == "shop")
    shop.rename(tmp_path / "away")
    write_app(apps / "a-thief", {"app.py": APP.format("thief")}, hosts=["x.example.com"])
    with running(apps, env=env) as runtime:
        wait_until(lambda: answer(runtime) == "404")
        assert runtime.wait_for_record("host.disputed")["ignored"] == "a-thief"
        (tmp_path / "away").rename(shop)
        wait_until(lambda: answer(runtime) == "shop")
        config.write_text(json.dumps({"apps": {"a-thief": {"hosts": ["x.example.com"]}}}))
        runtime.process.send_signal(signal.SIGHUP)
        wait_until(lambda: answer(runtime) == "thief")
        assert runtime.wait_for_record("host.moved")["before"] == "shop"
