"""SIGHUP: settings are read again, changed apps are reloaded, and no request is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.support.harness import OPERATORS_KEY, Runtime, wait_until, write_app
from tests.support.manager import Load, service

SAY = "def fetch(request):\n    from buntime import Response\n    return Response('{}')\n"


def reload(runtime: Runtime) -> list[str]:
    """Send SIGHUP and wait until the reload ends; returns which apps have changed."""
    done = sum(record["event"] == "runtime.reloaded" for record in runtime.records)
    os.kill(runtime.pid, signal.SIGHUP)

    def reloads() -> list[dict[str, list[str]]]:
        return [record for record in runtime.records if record["event"] == "runtime.reloaded"]

    wait_until(lambda: len(reloads()) > done, what="the reload")
    return reloads()[-1]["changed_apps"]


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write_app(tmp_path / "apps" / name, {"app.py": SAY.format(name)}, ttl=600)
    return tmp_path / "apps"


def test_settings(apps: Path, tmp_path: Path) -> None:
    """Settings that can change take effect with the next request; others are named; an invalid one
    changes nothing. The runtime and its workers keep running."""
    file = tmp_path / "settings.env"
    file.write_text("RUNTIME_LOG_LEVEL=debug\n")
    protected = write_app(apps / "secret", {"app.py": SAY.format("secret")}, visibility="protected")
    words = ["--port", "0", "--host", "127.0.0.1", "--env-file", file]
    with (
        service(apps, *words) as runtime,
        httpx.Client(base_url=runtime.url, verify=False) as client,
    ):
        assert client.get(f"/{protected.name}/", headers={"x-api-key": "k"}).status_code == 401
        assert client.get("/metrics", headers={"x-api-key": "k"}).status_code == 403
        file.write_text("RUNTIME_MASTER_KEY=k\nRUNTIME_POOL_SIZE=7\nRUNTIME_LOG_LEVEL=debug\n"
                        "RUNTIME_API_PREFIX=/_\nRUNTIME_HEADERS_MAX=1kb\n")  # fmt: skip
        assert reload(runtime) == []
        changed = runtime.wait_for_record("settings.changed")["names"]
        assert changed == ["RUNTIME_POOL_SIZE", "RUNTIME_HEADERS_MAX", "RUNTIME_MASTER_KEY"]
        late = runtime.wait_for_record("settings.restart_needed")["names"]
        assert late == ["RUNTIME_API_PREFIX"]
        assert client.get("/secret/", headers={"x-api-key": "k"}).text == "secret"
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"x-api-key": "k"}).status_code == 200
        assert (
            httpx.get(f"{runtime.url}/one/", headers={"x": "y" * 2000}, verify=False).status_code
            == 431
        )
        file.write_text("RUNTIME_POOL_SIZE=many\n")
        reload(runtime)
        assert "RUNTIME_POOL_SIZE" in runtime.wait_for_record("settings.rejected")["error"]
        assert client.get("/secret/", headers={"x-api-key": "k"}).text == "secret"


def test_folders_of_apps(apps: Path, tmp_path: Path) -> None:
    """A new folder of apps is served after the reload, and one that is no longer named is not."""
    more = write_app(tmp_path / "more/three", {"app.py": SAY.format("three")}, ttl=600).parent
    file = tmp_path / "settings.env"
    file.write_text(f"RUNTIME_WORKER_DIRS={apps}\n")
    words = ["--port", "0", "--host", "127.0.0.1", "--env-file", file]
    with service(*words) as runtime:
        assert httpx.get(f"{runtime.url}/one/", verify=False).text == "one"
        assert httpx.get(f"{runtime.url}/three/", verify=False).status_code == 404
        file.write_text(f"RUNTIME_WORKER_DIRS={more}\n")
        reload(runtime)
        assert httpx.get(f"{runtime.url}/three/", verify=False).text == "three"
        assert httpx.get(f"{runtime.url}/one/", verify=False).status_code == 404


def test_changed_apps(apps: Path) -> None:
    """An app with changed files is reloaded under load without a lost request; other apps keep
    their workers, and a change that cannot be loaded is not served."""
    env = {"RUNTIME_MASTER_KEY": OPERATORS_KEY}
    with service(apps, "--port", "0", "--host", "127.0.0.1", env=env) as runtime:
        host, port = "127.0.0.1", runtime.port
        for name in ("one", "two"):
            assert httpx.get(f"{runtime.url}/{name}/", verify=False).text == name
        workers = _workers_of(runtime, "two")
        with Load((host, port), "/one/") as load:
            wait_until(lambda: len(load.answers) > 20)
            (apps / "one/app.py").write_text(SAY.format("changed"))
            assert reload(runtime) == ["one"]
            wait_until(lambda: b"changed" in load.answers, what="the new code")
        assert (load.faults, set(load.answers)) == ([], {b"one", b"changed"})
        assert _workers_of(runtime, "two") == workers
        (apps / "one/app.py").write_text("import surely_not_there\n")
        assert reload(runtime) == ["one"]
        assert httpx.get(f"{runtime.url}/one/", verify=False).text == "changed"
        runtime.wait_for_record("app.change_boot_failed")
        assert httpx.get(f"{runtime.url}/one/", verify=False).text == "changed"


def _workers_of(runtime: Runtime, name: str) -> list[str]:
    own = {"x-api-key": OPERATORS_KEY}
    told = httpx.get(f"{runtime.url}/api/workers", headers=own, verify=False).json()["workers"]
    return [each["id"] for each in told if each["app"] == name]
