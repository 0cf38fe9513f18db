"""What operators have done, by `/api/audit` and `buntime audit`; tampering shows."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

from tests.support.client import fetch
from tests.support.harness import Runtime, running, write_app
from tests.support.pluginfolders import post, write_plugin
from tests.support.runs import run

HOOK = "def on_response(request, response): pass"


def audit(runtime: Runtime, *words: str) -> tuple[int, str]:
    """Exit code and output of `buntime audit` about this runtime."""
    env = {"BUNTIME_TO": runtime.url, "BUNTIME_KEY": runtime.operators_key or ""}
    done = run("audit", *words, cwd=Path("/"), env=env)
    return done.returncode, done.stdout


def entries(runtime: Runtime, query: str = "") -> list[dict[str, Any]]:
    page = fetch(runtime, f"/api/audit{query}").json()
    assert "entries" in page, page
    told = page["entries"]
    assert isinstance(told, list)
    return told


def test_the_trail(tmp_path: Path) -> None:
    """Recycling, a plugin's switch and a reread of the settings are noted; dry runs and the
    dispatcher's refusals are not; a restart continues the chain; a change made in the file shows.
    """
    write_app(tmp_path / "apps/shop", {"app.py": "def fetch(request): pass"}, ttl=600)
    write_plugin(tmp_path / "plugins", "other", HOOK)
    env = {"RUNTIME_STATE_DIR": f"{tmp_path}/s", "RUNTIME_PLUGIN_DIRS": f"{tmp_path}/plugins"}
    with running(tmp_path / "apps", env=env) as runtime:
        assert post(runtime, "/api/apps/shop/recycle?dryRun=1").status == 202
        assert post(runtime, "/api/apps/none/recycle").status == 404
        assert post(runtime, "/api/apps/shop/recycle").status == 202
        assert post(runtime, "/api/plugins/other/disable").status == 202
        runtime.process.send_signal(signal.SIGHUP)
        record = runtime.wait_for_record("audit.changed", action="config.reread")
        assert record["number"] == 5
        told = entries(runtime)
        assert [(each["action"], each["result"], each.get("begun")) for each in told] == [
            ("config.reread", "done", None),
            ("plugins.disable", "done", 3),
            ("plugins.disable", "begun", None),
            ("apps.recycle", "done", 1),
            ("apps.recycle", "begun", None),
        ]
        assert told[1]["before"] == {"enabled": True}
        assert told[1]["after"] == {"enabled": False}
        assert told[1]["address"] == "127.0.0.1"
        assert told[0]["hash"] == record["hash"]
        assert [each["number"] for each in entries(runtime, "?app=shop")] == [2, 1]
    with running(tmp_path / "apps", env=env) as runtime:
        post(runtime, "/api/plugins/other/enable")
        hash_ = runtime.wait_for_record("audit.changed")["hash"]
        code, out = audit(runtime, "--verify")
        assert (code, out) == (0, f"7 entries are intact; the newest is 7, with the hash {hash_}\n")
        code, out = audit(runtime, "--action", "plugins.*", "--json")
        assert [each["number"] for each in json.loads(out)["entries"]] == [7, 6, 4, 3]
        code, out = audit(runtime)
        rows = [line.split() for line in out.splitlines()[1:]]
        assert rows[0][4:] == ["plugins.enable", "other", "done"]
        assert [row[0] for row in rows] == ["7", "5", "4", "2"]  # a beginning is not listed twice
    connection = sqlite3.connect(tmp_path / "s/state.db", isolation_level=None)
    connection.execute("""UPDATE audit SET entry = replace(entry, '"other"', '"more"')""")
    connection.close()
    with running(tmp_path / "apps", env=env) as runtime:
        code, out = audit(runtime, "--verify")
        assert code == 1
        assert "entry 7 was changed" in out
        told = json.loads(audit(runtime, "--verify", "--json")[1])
        assert (told["ok"], told["entries"]) == (False, 0)
