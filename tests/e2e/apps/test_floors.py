"""What operators set for apps in the config file overrides manifests, and changes on SIGHUP."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import fetch, workers_of
from tests.support.deploying import AS_ROOT, Operator, fault
from tests.support.deploying import app as archive
from tests.support.fence import needs_sandbox
from tests.support.harness import running, wait_until, write_app
from tests.support.runs import run

APP = """
import json, os
from buntime import Response
def fetch(request):
    return Response.json([json.loads(os.environ["WORKER_CONFIG"])["nice"], os.environ.get("MODE")])
"""


def write_config(path: Path, apps: dict[str, Any]) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps({"apps": apps}))
    aside.rename(path)


def test_rows_hold_and_change_by_a_rollout(tmp_path: Path) -> None:
    """Each answer follows either the old rows or the new ones; hosts and access change at once; a
    file with a fault changes nothing."""
    apps, config = tmp_path / "apps", tmp_path / "config.yaml"
    write_app(apps / "blog-1", {"app.py": APP}, ttl=600, nice=1, env={"MODE": "own"})
    write_app(apps / "shop", {"app.py": APP}, ttl=600, nice=1, hosts=["a.example"])
    write_config(config, {"blog-*": {"nice": 3}})
    env = {"RUNTIME_ENV": "production", "RUNTIME_CONFIG": str(config)}
    with running(apps, env=env) as runtime:

        def answers(path: str) -> Any:
            answer = fetch(runtime, path)
            assert answer.status == 200, answer.body
            return answer.json()

        assert answers("/blog-1/") == [3, "own"]
        assert answers("/shop/") == [1, None]
        assert fetch(runtime, "/", headers={"Host": "a.example"}).status == 200
        write_config(
            config, {"blog-*": {"nice": 5, "env": {"MODE": "theirs"}}, "shop": {"hosts": []}}
        )
        runtime.process.send_signal(signal.SIGHUP)
        wait_until(lambda: answers("/blog-1/") == [5, "theirs"])
        wait_until(lambda: fetch(runtime, "/", headers={"Host": "a.example"}).status == 404)
        write_config(config, {"blog-*": {"nice": 99}})
        runtime.process.send_signal(signal.SIGHUP)
        [fault] = runtime.wait_for_record("config.rejected")["faults"]
        assert "apps.blog-*.nice: 99 is not allowed" in fault
        assert answers("/blog-1/") == [5, "theirs"]
        write_config(config, {"*": {"visibility": "protected"}})
        runtime.process.send_signal(signal.SIGHUP)
        wait_until(lambda: fetch(runtime, "/blog-1/").status == 401)


@needs_sandbox
def test_what_came_by_the_api_is_in_a_sandbox(tmp_path: Path) -> None:
    """Apps that came by the API run in a sandbox, even if their manifest wants none, unless an
    operator allows that."""
    apps, config = tmp_path / "apps", tmp_path / "config.yaml"
    for name in ("shop", "free"):
        release = apps / f".releases/{name}/1.0.0-abc"
        write_app(release, {"app.py": APP}, ttl=600, sandbox="off")
        (apps / name).mkdir()
        (apps / name / "1.0.0").symlink_to(release)
    write_config(config, {"free": {"sandbox": "off"}})
    with running(apps, env={"RUNTIME_CONFIG": str(config), **AS_ROOT}) as runtime:
        for name, level in (("shop", "standard"), ("free", "off")):
            assert fetch(runtime, f"/{name}/").status == 200
            [worker] = workers_of(runtime, name)
            assert worker["sandbox"] == level


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone runs apps as others")
def test_what_came_by_the_api_is_not_root_s(tmp_path: Path) -> None:
    """Apps that came by the API do not run as root, whether their manifest names no user or root;
    folders copied by hand are as before."""
    apps = tmp_path / "apps"
    for name, manifest in (("none", {}), ("root", {"user": "root"}), ("zero", {"user": "0:0"})):
        release = write_app(apps / f".releases/{name}/1.0.0-abc", {"app.py": APP}, **manifest)
        (apps / name).mkdir()
        (apps / name / "1.0.0").symlink_to(release)
    write_app(apps / "copied", {"app.py": APP})
    with running(apps) as runtime:
        for name in ("none", "root", "zero"):
            answer = fetch(runtime, f"/{name}/")
            assert answer.status == 500
            assert b"deployed by the API does not run as root" in answer.body
        assert fetch(runtime, "/copied/").status == 200
        operator = Operator(runtime)
        with operator.http:
            for dry in (0, 1):  # a dry run says so too
                answer = operator.put("late", "1.0.0", archive("1"), dryRun=dry)
                assert fault(answer) == (422, "app_invalid")
                assert "deployed by the API does not run as root" in answer.text


def test_who_tells_of_it(tmp_path: Path) -> None:
    """`check`, `config check` and `config show` say what a row changed, and where the row is."""
    write_app(tmp_path / "apps/shop", {"app.py": APP}, ttl=600, sandbox="off")
    (tmp_path / "config.yaml").write_text(
        "apps:\n  shop:\n    sandbox: strict\n    env: {MODE: hunter2}\n"
    )
    env = {
        "RUNTIME_CONFIG": str(tmp_path / "config.yaml"),
        "RUNTIME_WORKER_DIRS": str(tmp_path / "apps"),
        "RUNTIME_STATE_DIR": str(tmp_path / "state"),
    }
    told = f"sandbox: strict instead of off ({tmp_path}/config.yaml:3)"
    for words in (
        ("check",),
        ("config", "check"),
        ("config", "show"),
        ("config", "show", "--json"),
    ):
        done = run(*words, cwd=tmp_path, env=env)
        assert done.returncode == 0, done
        if "--json" in words:
            row = json.loads(done.stdout)["apps"]["shop"]
            assert row["sandbox"] == {"value": "strict", "origin": f"{tmp_path}/config.yaml:3"}
        else:
            assert told in done.stdout
        assert "hunter2" not in done.stdout
