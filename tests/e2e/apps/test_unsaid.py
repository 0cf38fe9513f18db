"""The values of secrets are in no output while deploys, jobs and requests fail."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
from pathlib import Path

from tests.support.client import fetch
from tests.support.deploying import AS_ROOT, Operator, packed
from tests.support.harness import running, wait_until, write_app
from tests.support.pluginfolders import post
from tests.support.runs import run
from tests.support.scriptedserver import Request, answer, serving

VALUE = "a-value-of-shop"
BOOTS = """
from buntime import Response, secret

def fetch(request):
    key = secret("KEY")
    if request.path == "/fails":
        raise RuntimeError(len(key))
    return Response("well")
"""
FAILS = "import os\nkey = os.environ['KEY']\nraise RuntimeError(len(key))\n"
WANTS = {"secrets": ["KEY"], "ttl": 600}
DAILY = {"schedule": "59 23 * * *"}


def test_values(tmp_path: Path) -> None:
    """No value is in what a collector gets, a deploy's lines, stack and log, a job's result, an
    error page, the log or the audit trail; a backup has them only if asked for."""
    jobs = [{**DAILY, "path": "/fails"}, {**DAILY, "name": "dies", "run": ["python", "dies.py"]}]
    whole = {"app.py": BOOTS, "dies.py": FAILS}
    write_app(tmp_path / "apps/shop@1.0.0", whole, cron=jobs, **WANTS)
    env = {"RUNTIME_STATE_DIR": f"{tmp_path}/state", "RUNTIME_ENV": "production", **AS_ROOT}
    said: list[bytes] = []
    lock = threading.Lock()

    def take(request: Request) -> bytes:
        packed = request.fields.get("content-encoding") == "gzip"
        with lock:
            said.append(gzip.decompress(request.body) if packed else request.body)
        return answer({})

    with (
        serving(take) as collector,
        running(
            tmp_path / "apps", env={**env, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        ) as runtime,
        Operator(runtime).http as http,
    ):
        operator = Operator(runtime)
        operator.http = http
        told = http.put("/api/apps/shop/secrets/KEY", json={"value": VALUE})
        assert told.status_code in (200, 201, 204), told.text
        wait_until(lambda: fetch(runtime, "/shop/").body == b"well")
        said.append(fetch(runtime, "/shop/fails").body)
        runs = [f"/api/apps/shop/cron/{name}/run" for name in ("fails", "dies")]
        said += [post(runtime, each).body for each in runs]
        said.append(http.get("/api/cron").content)
        for number, files in enumerate(
            (
                {"app.py": FAILS},
                {"app.py": BOOTS, "release.py": FAILS},
                {"app.py": BOOTS.replace('"/fails"', '"/"')},
            ),
            start=2,
        ):
            more = {"release": "python release.py"} if "release.py" in files else {"check": "/"}
            archive = packed(files, **WANTS, **more)
            lines = operator.lines("shop", f"{number}.0.0", archive)
            assert "failed" in lines[-1], lines
            said.append(json.dumps(lines).encode())
        for path in ("deploys", "audit", "apps/shop", "logs?app=shop", "config", "plugins"):
            answered = http.get(f"/api/{path}")
            assert answered.status_code == 200, path
            said.append(answered.content)
        wait_until(lambda: len([each for each in said if b"resourceSpans" in each]) > 0)
        wait_until(lambda: any(b"deploy.failed" in each for each in said))
        backup = http.get("/api/data/backup").content
        found = run(
            *("data", "backup", tmp_path / "own.tar.gz", "--secrets"),
            cwd=tmp_path,
            env={
                "RUNTIME_STATE_DIR": f"{tmp_path}/state",
                "RUNTIME_WORKER_DIRS": f"{tmp_path}/apps",
            },
        )
        assert found.returncode == 0, found.stderr
    said += [repr(record).encode() for record in runtime.records]
    said += [path.read_bytes() for path in (tmp_path / "state").glob("state.db*")]
    said += [path.read_bytes() for path in (tmp_path / "state/logs").rglob("*") if path.is_file()]
    assert [each for each in said if VALUE.encode() in each] == []
    assert not holds(backup)
    assert holds((tmp_path / "own.tar.gz").read_bytes())


def holds(archive: bytes) -> bool:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = [tar.extractfile(each) for each in tar if each.isfile()]
        return any(VALUE.encode() in file.read() for file in files if file is not None)
