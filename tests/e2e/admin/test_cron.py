"""The jobs of apps, by `/api/cron`, `buntime cron` and metrics."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.client import fetch
from tests.support.harness import Runtime, running, write_app
from tests.support.pluginfolders import post
from tests.support.runs import run

APP = """
import time
from buntime import Response
def fetch(request):
    if request.path == "/slow":
        time.sleep(2)
    return Response("", status=500 if request.path == "/fails" else 200)
"""
DAILY = {"schedule": "59 23 * * *", "timezone": "Europe/Berlin"}
JOBS = [
    {**DAILY, "path": "/clean", "cronOnly": True},
    {**DAILY, "path": "/fails", "method": "GET"},
    {**DAILY, "path": "/slow"},
    {**DAILY, "name": "hello", "run": ["python", "-c", "print('hi')"]},
]


def cron(runtime: Runtime, *words: str) -> tuple[int, str]:
    """Exit code and output of `buntime cron` about this runtime."""
    env = {"BUNTIME_TO": runtime.url, "BUNTIME_KEY": runtime.operators_key or ""}
    done = run("cron", *words, cwd=Path("/"), env=env)
    return done.returncode, done.stdout + done.stderr


def test_jobs(tmp_path: Path) -> None:
    """Jobs are listed, run on demand, reported, and noted in the audit trail."""
    write_app(tmp_path / "apps/shop@1.2.0", {"app.py": APP}, ttl=600, cron=JOBS)
    write_app(tmp_path / "apps/faulty", {"app.py": APP}, ttl="soon", cron=JOBS)
    env = {"RUNTIME_STATE_DIR": f"{tmp_path}/s"}
    with running(tmp_path / "apps", env=env) as runtime:
        while len(told := fetch(runtime, "/api/cron").json()["jobs"]) < len(JOBS):
            continue  # a tick is 0.25 s
        assert [(job["name"], job["version"]) for job in told] == [
            (name, "1.2.0") for name in ("clean", "fails", "hello", "slow")
        ]
        assert told[0]["next"].endswith(("T22:59:00Z", "T21:59:00Z"))
        assert told[0]["runs"] == []
        first = fetch(runtime, "/api/cron?limit=3").json()
        rest = fetch(runtime, f"/api/cron?cursor={first['next']}").json()
        assert (len(first["jobs"]), rest["next"]) == (3, None)
        assert [job["name"] for job in first["jobs"] + rest["jobs"]] == [
            job["name"] for job in told
        ]
        assert cron(runtime, "run", "shop", "clean") == (0, "shop: clean: ok (200)\n")
        assert cron(runtime, "run", "shop", "fails") == (1, "shop: fails: failed (500)\n")
        assert cron(runtime, "run", "shop", "hello") == (0, "shop: hello: ok (exit code 0)\n")
        code, out = cron(runtime, "run", "shop", "none")
        assert (code, "shop has no job none" in out) == (1, True)
        runtime.wait_for_record("app.invalid", app="faulty")
        code, out = cron(runtime, "run", "shop", "cleen")
        assert (code, "no job cleen; did you mean clean? (see buntime cron list)" in out) == (
            1,
            True,
        )
        code, out = cron(runtime, "run", "shpo", "clean")
        assert (code, "shpo has no job clean; did you mean shop?" in out) == (1, True)
        code, out = cron(runtime, "run", "faulty", "clean")
        assert (code, "faulty has no jobs, as it cannot be served: " in out) == (1, True)
        assert post(runtime, "/api/apps/shop/cron/slow/run?dryRun=1").status == 202
        assert post(runtime, "/api/apps/shop/cron/slow/run").status == 202
        assert post(runtime, "/api/apps/shop/cron/slow/run").status == 409
        runtime.wait_for_line("hi", app="shop", worker="cron:hello")
        assert fetch(runtime, "/shop/clean").status == 404
        runtime.wait_for_record("audit.changed", action="cron.run", subject="shop:fails")
        runtime.wait_for_record("cron.done", job="slow")
        code, out = cron(runtime, "list")
        assert code == 0
        assert [line.split()[:2] for line in out.splitlines()[1:]] == [
            ["shop", name] for name in ("clean", "fails", "hello", "slow")
        ]
        assert "failed (500)" in out
        runs = json.loads(cron(runtime, "list", "shop", "--json")[1])["jobs"][1]["runs"]
        assert [(each["result"], each["detail"]) for each in runs] == [("failed", "500")]
        assert cron(runtime, "list", "shpo")[0] == 1  # a misspelt app has not "no jobs"
        text = fetch(runtime, "/metrics").body.decode()
        assert 'buntime_cron_runs_total{app="shop",job="fails",result="failed"} 1.0' in text
        assert fetch(runtime, "/api/workers/metrics").json()["jobs"]["shop:clean"]["cronRuns"]
    with running(tmp_path / "apps", env=env) as runtime:
        while not (told := fetch(runtime, "/api/cron").json()["jobs"]) or not told[0]["runs"]:
            continue
        assert told[0]["runs"][0]["detail"] == "200"
