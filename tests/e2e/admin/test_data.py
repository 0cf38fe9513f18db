"""A backup of a running runtime, restored on an empty host."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, command, running, write_app
from tests.support.pluginfolders import plugins_of, post, write_plugin
from tests.support.runs import environ, run

APP = """
import os, sqlite3
from buntime import Response
path = os.path.join(os.environ["APP_DATA_DIR"], "shop.db")
db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE IF NOT EXISTS visits (n)")
def fetch(request):
    if request.method == "POST":
        db.execute("INSERT INTO visits VALUES (1)")
    return Response(str(db.execute("SELECT count(*) FROM visits").fetchone()[0]))
"""
HOOK = "def on_response(request, response): pass"


class Host:
    """Folders of a host, and what runs there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.apps, self.state, self.plugins = root / "apps", root / "state", root / "plugins"
        self.env = {
            "RUNTIME_STATE_DIR": str(self.state),
            "RUNTIME_PLUGIN_DIRS": str(self.plugins),
            "RUNTIME_WORKER_DIRS": str(self.apps),
            "PORT": "1",  # nothing listens there: a command asks it after the runtime's end
        }

    def command(
        self, *words: str | Path, runtime: Runtime | None = None
    ) -> subprocess.CompletedProcess[str]:
        env = dict(self.env)
        if runtime is not None:
            env |= {"BUNTIME_TO": runtime.url, "BUNTIME_KEY": runtime.operators_key or ""}
        return run("data", *words, cwd=self.root, env=env)

    def json(self, *words: str | Path, runtime: Runtime | None = None) -> Any:
        done = self.command(*words, "--json", runtime=runtime)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def test_a_backup_is_restored(tmp_path: Path) -> None:
    """Apps, their data, switches and the audit trail are restored and usable; a backup can be taken
    while the app is in use, or without a runtime; a runtime that runs prevents a restore.
    """
    one, two = Host(tmp_path / "one"), Host(tmp_path / "two")
    two.root.mkdir()
    write_app(one.apps / "shop", {"app.py": APP}, ttl=600, data=True, dataMax="1gb")
    write_plugin(one.plugins, "audit", HOOK)
    backup = tmp_path / "backup.tar.gz"
    with running(one.apps, env=one.env) as runtime:
        assert [fetch(runtime, "/shop/", method="POST").body for _ in range(3)][-1] == b"3"
        post(runtime, "/api/plugins/audit/disable")
        told = one.json("backup", backup, runtime=runtime)
        assert (told["changed"], told["leftOut"]) == ([], [])
        assert backup.stat().st_mode & 0o777 == 0o600
        [listed] = one.json("list", runtime=runtime)["data"]
        assert (listed["name"], listed["user"]) == ("shop", None)
        assert listed["sizeBytes"] > 4096
        assert listed["maxBytes"] == 1 << 30
        record = runtime.wait_for_record("audit.changed", action="data.backup")
        assert record["after"]["files"] == told["files"]
        refused = one.command("restore", backup)
        assert refused.returncode == 1
        assert "another runtime, process" in refused.stderr
        assert fetch(runtime, "/api/data/backup", method="HEAD").status == 200
        fetch(runtime, "/shop/", method="POST")
    restored = two.json("restore", backup)["restored"]
    assert str(two.state / "state.db") in restored
    with running(two.apps, env=two.env) as runtime:
        assert fetch(runtime, "/shop/").body == b"3"
        assert not plugins_of(runtime)["audit"]["enabled"]
        runtime.wait_for_record("audit.changed", action="data.restore")
        entries = fetch(runtime, "/api/audit").json()["entries"]
        actions = [each["action"] for each in entries]
        assert actions == ["data.restore"] * 2 + ["plugins.disable"] * 2
        assert entries[0]["source"] == "command"
    again = tmp_path / "again.tar.gz"
    assert two.json("backup", again, "--secrets")["files"] == told["files"]
    assert two.command("restore", again).returncode == 1  # the host is not empty


def test_errors_name_the_file(tmp_path: Path) -> None:
    """A file that is no backup, and a folder that is not there to write one into, are named."""
    host = Host(tmp_path / "one")
    host.apps.mkdir(parents=True)
    junk, nowhere = tmp_path / "junk.tar.gz", tmp_path / "no/monday.tar.gz"
    junk.write_bytes(b"junk")
    refused = host.command("restore", junk)
    assert refused.returncode == 1
    assert f"error: {junk}: it is not a backup" in refused.stderr
    refused = host.command("backup", nowhere)
    assert refused.returncode == 1
    assert f"there is no folder {nowhere.parent}; make it" in refused.stderr


def test_a_backup_replaces_files_only(tmp_path: Path) -> None:
    """A pipe, which stands for devices such as /dev/null, a link and a folder are left alone; so
    is what another backup writes to the same name."""
    host = Host(tmp_path / "one")
    write_app(host.apps / "shop", {"app.py": APP})
    other = tmp_path / "other"
    other.write_bytes(b"as it was")
    paths = {kind: tmp_path / kind for kind in ("pipe", "link", "folder", "file")}
    os.mkfifo(paths["pipe"])
    paths["link"].symlink_to(other)
    paths["folder"].mkdir()
    for kind in ("pipe", "link", "folder"):
        before = paths[kind].lstat()
        done = host.command("backup", paths[kind])
        assert done.returncode == 1, kind
        assert f"{paths[kind]} is there, and is not a file" in done.stderr
        after = paths[kind].lstat()
        assert (after.st_ino, stat.S_IFMT(after.st_mode)) == (
            before.st_ino,
            stat.S_IFMT(before.st_mode),
        )
    assert other.read_bytes() == b"as it was"
    paths["file"].write_bytes(b"last week's")
    half = tmp_path / "file.part"
    half.write_bytes(b"half")
    assert host.json("backup", paths["file"])["files"] >= 1
    assert paths["file"].read_bytes()[:2] == b"\x1f\x8b"
    assert half.read_bytes() == b"half"
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        ["one", "other", *paths, half.name]
    )


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="each file here has a name")
def test_a_backup_that_is_killed(tmp_path: Path) -> None:
    """It leaves no file, because its file has no name until it is complete."""
    (tmp_path / "kept").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = {"BUNTIME_TO": f"http://127.0.0.1:{silent.getsockname()[1]}", "BUNTIME_KEY": "k" * 32}
        line = [*command(), "data", "backup", str(tmp_path / "kept/all.tar.gz")]
        with subprocess.Popen(line, cwd=tmp_path, env=environ(env)) as backup:
            silent.settimeout(30)
            asked, _ = silent.accept()  # it waits for an answer now
            with asked:
                backup.kill()
                assert backup.wait(30) == -signal.SIGKILL
    assert os.listdir(tmp_path / "kept") == []
