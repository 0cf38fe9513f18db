"""Two runtimes and one state folder."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.support.client import fetch
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.pluginfolders import plugins_of, post, wait_for_state, write_plugin
from tests.support.runs import run

APP = """
import os
from buntime import Response
def fetch(request): return Response(os.environ["APP_DATA_DIR"])
"""
HOOK = """
def on_response(request, response): response.headers["x-audited"] = "yes"
"""


def enabled(runtime: Runtime, name: str) -> bool:
    return bool(plugins_of(runtime)[name]["enabled"])


def test_the_second_runs_without_state(tmp_path: Path) -> None:
    """The second serves, says which process holds the folder, gives no app its data, and switches
    no plugin; when the first is killed, it takes over the folder, with the switches made there.
    """
    write_app(tmp_path / "apps/shop", {"app.py": APP}, ttl=600, data=True)
    write_app(tmp_path / "apps/plain", {"app.py": APP.replace("APP_DATA", "APP")}, ttl=600)
    for name in ("audit", "other"):
        write_plugin(tmp_path / "plugins", name, HOOK)
    env = {"RUNTIME_STATE_DIR": f"{tmp_path}/s", "RUNTIME_PLUGIN_DIRS": f"{tmp_path}/plugins"}
    with running(tmp_path / "apps", env=env) as first:
        assert fetch(first, "/shop/").body == f"{tmp_path}/s/data/shop".encode()
        with running(tmp_path / "apps", env=env) as second:
            record = second.wait_for_record("state.unavailable")
            assert f"another runtime, process {first.pid}, holds {tmp_path}/s" in record["error"]
            assert fetch(second, "/plain/").status == 200
            assert fetch(second, "/shop/").status == 500
            failed = second.wait_for_record("app.boot_failed", app="shop")
            assert f"data: another runtime, process {first.pid}" in failed["error"]
            refused = post(second, "/api/plugins/audit/disable")
            assert (refused.status, refused.error["code"]) == (500, "state_not_kept")
            assert enabled(second, "audit")
            post(first, "/api/plugins/other/disable")
            wait_for_state(first, "other", "disabled")

            first.process.send_signal(signal.SIGKILL)
            second.wait_for_record("state.taken")
            wait_until(lambda: not enabled(second, "other"))
            assert post(second, "/api/plugins/audit/disable").status == 202
            wait_until(lambda: fetch(second, "/shop/").status == 200)


def test_a_damaged_database(tmp_path: Path) -> None:
    """Apps still run, and the command that operators are told restores the state."""
    write_app(tmp_path / "apps/plain", {"app.py": APP.replace("APP_DATA", "APP")}, ttl=600)
    env = {"RUNTIME_STATE_DIR": f"{tmp_path}/s", "RUNTIME_WORKER_DIRS": f"{tmp_path}/apps"}
    env["PORT"] = "1"  # nothing listens there: a command asks it after the runtime's end
    database, backup = tmp_path / "s/state.db", tmp_path / "state.tar.gz"
    with running(tmp_path / "apps", env=env) as runtime:
        assert post(runtime, "/api/apps/plain/recycle").status == 202
        runtime.wait_for_record("audit.changed")
    assert run("data", "backup", backup, "--only", "state", cwd=tmp_path, env=env).returncode == 0
    database.write_bytes(b"x" * 8192)
    with running(tmp_path / "apps", env=env) as runtime:
        record = runtime.wait_for_record("state.damaged")
        [told] = re.findall("buntime (data restore FILE .*) with", record["error"])
        assert fetch(runtime, "/plain/").status == 200
        refused = fetch(runtime, "/api/audit")
        assert (refused.status, refused.error["code"]) == (503, "state_unavailable")
        assert f"buntime {told}" in refused.error["message"]
    restored = run(*told.replace("FILE", str(backup)).split(), cwd=tmp_path, env=env)
    assert restored.returncode == 0, restored.stderr
    with running(tmp_path / "apps", env=env) as runtime:
        # What commands did without a runtime is added once there is a database again.
        runtime.wait_for_record("audit.changed", action="data.restore")
        entries = fetch(runtime, "/api/audit").json()["entries"]
        assert [(each["number"], each["action"]) for each in entries] == [
            *((6, "data.restore"), (5, "data.restore"), (4, "data.backup"), (3, "data.backup")),
            *((2, "apps.recycle"), (1, "apps.recycle")),
        ]
