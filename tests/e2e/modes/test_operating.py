"""Operating each form of Buntime by its command line: from a key to a restored backup."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.client import fetch
from tests.support.deploying import AS_ROOT
from tests.support.harness import (
    IS_BINARY,
    Runtime,
    command,
    is_alive,
    running,
    wait_until,
    write_app,
)
from tests.support.runs import environ, run

# An app with one of each: data, a secret, and packages for its Python.
APP = """
import os, sqlite3
from buntime import Response, secret
path = os.path.join(os.environ["APP_DATA_DIR"], "shop.db")
db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
db.execute("CREATE TABLE IF NOT EXISTS visits (n)")
def fetch(request):
    if request.method == "POST":
        db.execute("INSERT INTO visits VALUES (1)")
        print("a visit", flush=True)
    count = db.execute("SELECT count(*) FROM visits").fetchone()[0]
    return Response(f"VERSION {secret('TOKEN')} {count}")
"""
YEARLY = {"schedule": "0 0 1 1 *", "timezone": "UTC"}
MANIFEST = {
    "ttl": 600,
    "data": True,
    "secrets": ["TOKEN"],
    "cron": [
        {**YEARLY, "path": "/beat", "cronOnly": True},
        {**YEARLY, "name": "report", "run": ["python", "-c", "import buntime; print('reported')"]},
    ],
}
TELLS = "import os, sqlite3, ssl, sys; print(os.environ['TOKEN'], os.listdir('.'), sys.prefix)"
WORRIES = ("No module", "ModuleNotFound", "ImportError", "not installed", "missing")


class Host:
    """Folders of a host, and the commands that are typed there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("apps", "state", "src/shop"):
            (root / name).mkdir(parents=True)
        (root / "state").chmod(0o711)
        self.env = {
            "RUNTIME_STATE_DIR": str(root / "state"),
            "RUNTIME_WORKER_DIRS": str(root / "apps"),
            "RUNTIME_ENV": "production",
            # A backup would have the checkout's plugins, with packages that other tests installed.
            "RUNTIME_PLUGIN_DIRS": str(root / "plugins"),
            **AS_ROOT,
        }

    @contextlib.contextmanager
    def serving(self) -> Iterator[Runtime]:
        with running(self.root / "apps", env=self.env) as runtime:
            yield runtime
        told = [record["message"] for record in runtime.records]
        assert not [line for line in told if any(word in line for word in WORRIES)]

    def run(self, *words: str | Path, stdin: str = "", code: int = 0, **env: str) -> str:
        """What it prints: stdout, or stderr if it should fail."""
        done = run(*words, cwd=self.root, env=self.env | env, stdin=stdin)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert code or done.stderr == "" or words[0] == "keys"
        return done.stderr if code else done.stdout

    def json(self, *words: str | Path, **env: str) -> Any:
        return json.loads(self.run(*words, "--json", **env))

    def write(self, version: str, code: str = APP) -> None:
        files = {"app.py": code.replace("VERSION", version)}
        write_app(self.root / "src/shop", files, **MANIFEST)


def test_a_day_of_an_operator(tmp_path: Path) -> None:
    """A key, a secret, deploys, jobs, logs and a backup: all by commands, restored elsewhere."""
    one, two = Host(tmp_path / "one"), Host(tmp_path / "two")
    backup = tmp_path / "backup.tar.gz"
    with one.serving() as runtime:
        assert (one.root / "state/control.sock").is_socket()
        key = one.run("keys", "add", "ci", "--role", "deployer", "--apps", "shop").strip()
        forge = {"BUNTIME_TO": runtime.url, "BUNTIME_KEY": key}
        one.run("secrets", "set", "shop", "TOKEN", stdin="s3cret\n")

        one.write("first")
        assert one.run("deploy", "src/shop", **forge).endswith(f"  {runtime.url}/shop/\n")
        assert fetch(runtime, "/shop/", method="POST").body == b"first s3cret 1"
        one.write("broken", "import no_such_module\n")
        failed = one.run("deploy", "src/shop", code=1, **forge)
        assert "ModuleNotFoundError: No module named 'no_such_module'" in failed
        one.write("second")
        one.run("deploy", "src/shop", **forge)
        assert fetch(runtime, "/shop/").body == b"second s3cret 1"
        one.run("rollback", "shop", **forge)
        assert fetch(runtime, "/shop/", method="POST").body == b"first s3cret 2"

        for job, result in (("beat", "200"), ("report", "exit code 0")):
            told = one.run("cron", "run", "shop", job)
            assert told == f"shop: {job}: ok ({result})\n"
        logged = one.run("logs", "shop")
        assert all(line in logged for line in ("a visit", "reported", "no_such_module"))
        told = one.run("run", "shop", "--", "python", "-c", TELLS)
        assert told.startswith("s3cret ['")
        # A shell finds the app's Python too, also under its other name.
        assert one.run("run", "shop", "--", "sh", "-c", f'python3 -c "{TELLS}"') == told
        assert one.json("data", "backup", backup, "--secrets")["changed"] == []

    two.run("data", "restore", backup)
    with two.serving() as runtime:
        assert fetch(runtime, "/shop/").body == b"first s3cret 3"  # one by the job
        assert "shop" in two.run("list", BUNTIME_TO=runtime.url, BUNTIME_KEY=key)
        actions = [each["action"] for each in two.json("audit")["entries"]]
        assert {"keys.add", "apps.secrets.set"} <= set(actions)


def test_a_program_that_is_killed(tmp_path: Path) -> None:
    """What `buntime run` has started ends when its process is killed."""
    host = Host(tmp_path / "host")
    write_app(host.root / "apps/shop", {"app.py": ""})
    with subprocess.Popen(
        [*command(), "run", "shop", "--", "sh", "-c", "echo $$; exec sleep 60"],
        cwd=host.root, env=environ(host.env), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert (pid != process.pid) == IS_BINARY  # the binary's first process waits for another
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), 10)
