"""The master key as the chart provides it: a mounted Secret; and docs/kubernetes.md with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.support.client import fetch
from tests.support.deploying import AS_ROOT
from tests.support.harness import Runtime, running, wait_until
from tests.support.runs import run
from tests.support.secretvolume import mount

FIRST, SECOND = "1" * 64, "2" * 64  # as `openssl rand -hex 32` makes them, with a newline


class Pod(NamedTuple):
    """A runtime as in a pod with state, the volume of its Secret, and its address for operators."""

    runtime: Runtime
    secret: Path
    operators: str

    def status(self, key: str) -> int:
        """The status that a page of the API gives for a key."""
        with httpx.Client(trust_env=False, timeout=30, verify=False) as client:
            url = f"{self.runtime.url}/api/workers"
            return client.get(url, headers={"X-API-Key": key}).status_code


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    mount(tmp_path / "master", "first", key=f"{FIRST}\n")
    (tmp_path / "apps").mkdir()
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_MASTER_KEY_FILE": str(tmp_path / "master/key"),
        "RUNTIME_ADMIN_LISTEN": "127.0.0.1:0",
        **AS_ROOT,
    }
    with running(tmp_path / "apps", env=env) as runtime:
        told = runtime.wait_for_record("operators.listening")
        yield Pod(runtime, tmp_path / "master", told["url"])


def test_the_page(pod: Pod, tmp_path: Path) -> None:
    """A new app is deployed through the operators' address, with the key, and then answers."""
    env = {"HOME": str(tmp_path), "BUNTIME_KEY": FIRST}
    assert run("new", "shop", cwd=tmp_path, env=env).returncode == 0
    to = pod.operators.replace("127.0.0.1", "localhost")
    wrong = run("deploy", "shop", "--to", to, cwd=tmp_path, env={**env, "BUNTIME_KEY": SECOND})
    assert wrong.returncode == 4
    assert fetch(pod.runtime, "/shop/").status == 404
    done = run("deploy", "shop", "--to", to, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert fetch(pod.runtime, "/shop/").status == 200


def test_another_key(pod: Pod) -> None:
    """After SIGHUP a changed Secret is the key: kubelet changes links and not the file."""
    assert (pod.status(FIRST), pod.status(SECOND)) == (200, 401)
    mount(pod.secret, "second", key=f"{SECOND}\n")
    pod.runtime.process.send_signal(signal.SIGHUP)
    wait_until(lambda: pod.status(SECOND) == 200, what="the second key")
    assert pod.status(FIRST) == 401
