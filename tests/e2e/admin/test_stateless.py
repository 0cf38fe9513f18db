"""A replica that keeps nothing: RUNTIME_STATE=none, with keys and secrets from mounted files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from buntime.core.access.keytext import digest_of, make_key
from buntime.core.admin.kept import INSTEAD
from buntime.core.admin.routes import ROUTES
from tests.support.client import fetch
from tests.support.harness import Runtime, running, write_app
from tests.support.runs import run
from tests.support.secretvolume import mount
from tests.support.writewalk import Walker

APP = """
import os
from buntime import Response, secret
def fetch(request): return Response(secret("TOKEN") + os.environ.get("APP_DATA_DIR", ""))
"""
JOBS = [
    {"schedule": "* * * * *", "name": "yearly", "path": "/"},
    {"schedule": "* * * * *", "name": "program", "run": ["python", "-c", "print('ran')"]},
]
ADMIN, JOB = make_key(b"a" * 32), make_key(b"j" * 32)
PLUGIN = "def on_response(request, response): pass\n"


def keys(*wanted: tuple[str, str, str]) -> str:
    """JSON is YAML too."""
    return json.dumps(
        [
            {"name": name, "sha256": digest_of(key).hex(), "roles": [role]}
            for name, key, role in wanted
        ]
    )


class Replica(NamedTuple):
    runtime: Runtime
    root: Path
    env: dict[str, str]

    def ask(self, method: str, path: str, key: str = ADMIN, **options: object) -> httpx.Response:
        with httpx.Client(
            base_url=self.runtime.url, trust_env=False, timeout=30, verify=False
        ) as client:
            return client.request(method, path, headers={"X-API-Key": key}, **options)  # type: ignore[arg-type]  # as httpx has them


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    root = tmp_path_factory.mktemp("replica")
    write_app(root / "apps/shop@1.0.0", {"app.py": APP}, ttl=600, secrets=["TOKEN"], cron=JOBS)
    write_app(root / "apps/notes", {"app.py": APP}, ttl=600, data=True)
    write_app(root / "apps/bare", {"app.py": APP}, ttl=600, secrets=["ABSENT"])
    (root / "plugins/other").mkdir(parents=True)
    (root / "plugins/other/plugin.py").write_text(PLUGIN)
    (root / "plugins/other/buntime.yaml").write_text("name: other\n")
    mount(root / "secrets/shop", "1", TOKEN="mounted")
    mount(root / "keys", "1", **{"keys.yaml": keys(("ops", ADMIN, "admin"))})
    (root / "state").mkdir(mode=0o711)
    (root / "state/plugins.json").write_text('{"other": {"enabled": false}}')  # from another time
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_MASTER_KEY": "",
        "RUNTIME_STATE": "none",
        "RUNTIME_STATE_DIR": str(root / "state"),
        "RUNTIME_KEYS_FILE": str(root / "keys/keys.yaml"),
        "RUNTIME_SECRETS_DIR": str(root / "secrets"),
        "RUNTIME_PLUGIN_DIRS": str(root / "plugins"),
        "RUNTIME_WORKER_DIRS": str(root / "apps"),
    }
    with running(root / "apps", env=env) as runtime:
        yield Replica(runtime, root, env)


def test_it_serves(replica: Replica) -> None:
    """Apps run, with secrets from files; state from an earlier time is ignored."""
    replica.runtime.wait_for_record("state.off")
    assert fetch(replica.runtime, "/shop/").body == b"mounted"
    told = replica.ask("GET", "/api/plugins").json()["plugins"]
    assert {each["name"]: each["enabled"] for each in told}["other"] is True


def test_apps_that_want_what_is_kept(replica: Replica) -> None:
    """Apps that need kept state do not load, and the log says why, and what to do."""
    assert fetch(replica.runtime, "/notes/").status == 500
    failed = replica.runtime.wait_for_record("app.boot_failed", app="notes")
    assert "RUNTIME_STATE is none" in failed["error"]
    assert "a database that all replicas share" in failed["error"]
    assert fetch(replica.runtime, "/bare/").status == 500
    failed = replica.runtime.wait_for_record("app.boot_failed", app="bare")
    assert "put it into RUNTIME_SECRETS_DIR, as bare/ABSENT" in failed["error"]


def test_what_is_kept_is_refused(replica: Replica) -> None:
    """Each route that would keep something says what to do instead, and nothing is kept."""
    assert fetch(replica.runtime, "/shop/").status == 200
    walker = Walker(replica.runtime.url, ADMIN)
    with walker.http:
        for route in ROUTES.routes:
            if route.name in INSTEAD:
                answer = walker.ask(walker.asked(route))
                error = answer.json()["error"]
                assert (answer.status_code, error["code"]) == (409, "state_off"), route.name
                assert error["message"].endswith(INSTEAD[route.name])
    kept = {path.name for path in (replica.root / "state").iterdir()}
    assert kept == {"plugins.json", "control.sock"}
    assert not [*(replica.root / "apps").glob(".*")]


def test_who_may_not_is_told_that_first(replica: Replica) -> None:
    """401 and 403 come first: such a caller does not learn how the runtime is set."""
    assert replica.ask("POST", "/api/keys", key="wrong", json={}).status_code == 401


def test_a_job_runs_when_asked(replica: Replica) -> None:
    """No job runs by the clock, as each replica would run it; a CronJob asks one, with a key."""
    replica.runtime.wait_for_record("cron.off", apps=["shop"])
    jobs = replica.ask("GET", "/api/cron").json()
    assert [each["name"] for each in jobs["jobs"]] == ["program", "yearly"]
    assert "RUNTIME_STATE is none" in jobs["unavailable"]
    for name in ("program", "yearly"):
        assert replica.ask("POST", f"/api/apps/shop/cron/{name}/run").status_code == 202
        replica.runtime.wait_for_record("cron.done", job=name)
    changed = replica.runtime.wait_for_record("audit.changed", action="cron.run")
    assert "number" not in changed


def test_keys_of_the_file(replica: Replica) -> None:
    """Keys change with the file, on SIGHUP or by themselves; the API shows their origin."""
    (told,) = replica.ask("GET", "/api/keys").json()["keys"]
    assert (told["name"], told["origin"]) == ("ops", "RUNTIME_KEYS_FILE")
    both = keys(("ops", ADMIN, "admin"), ("job", JOB, "workers:recycle"))
    mount(replica.root / "keys", "2", **{"keys.yaml": both})
    os.kill(replica.runtime.pid, 1)
    replica.runtime.wait_for_record("keys.changed", keys=2)
    assert replica.ask("POST", "/api/apps/shop/cron/yearly/run", key=JOB).status_code == 202
    assert replica.ask("GET", "/api/keys", key=JOB).status_code == 403
    mount(replica.root / "keys", "3", **{"keys.yaml": "- {name: job}\n"})
    os.kill(replica.runtime.pid, 1)
    replica.runtime.wait_for_record("keys.file_invalid")
    assert replica.ask("GET", "/api/cron", key=ADMIN).status_code == 200


def test_operators_are_told(replica: Replica) -> None:
    """`status`, by the control socket, the only file in the state folder, and `doctor` say so."""
    done = run("status", cwd=replica.root, env=replica.env)
    assert (
        "This runtime keeps nothing, because it is one of several replicas (RUNTIME_STATE=none)"
        in (done.stdout)
    )
    done = run("doctor", cwd=replica.root, env=replica.env | {"PORT": "0"})
    assert "RUNTIME_STATE is none: nothing is kept here" in done.stdout
    assert "notes has `data: true`" in done.stdout
    assert "jobs of shop@1.0.0 run only when asked for" in done.stdout
    done = run("keys", "add", "forge", "--role", "viewer", cwd=replica.root, env=replica.env)
    assert done.returncode == 1
    assert "write the keys into the file of RUNTIME_KEYS_FILE" in done.stderr


def test_a_bad_file_at_the_start(tmp_path: Path) -> None:
    """Nothing is opened, and one line says where the file is wrong."""
    (tmp_path / "apps").mkdir()
    (tmp_path / "keys.yaml").write_text("- {name: a}\n")
    env = {"RUNTIME_KEYS_FILE": f"{tmp_path}/keys.yaml", "PORT": "0"}
    done = run(tmp_path / "apps", cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert f"{tmp_path}/keys.yaml:1: sha256 is missing" in done.stderr
