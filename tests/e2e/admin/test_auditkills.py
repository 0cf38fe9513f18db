"""A runtime that is killed between a change and the row that ends it leaves a trace."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.deploying import AS_ROOT
from tests.support.harness import OPERATORS_KEY, UNDER_TEST, Runtime, running
from tests.support.writewalk import WRITES, Walker, in_order, write_folders

# Done in one transaction of state.db, with their row.
AT_ONCE = frozenset(("keys.add", "keys.revoke", "apps.close", "apps.open", "hosts.move"))
# Done by the handler of another route.
SAME = frozenset(
    ("plugins.secrets.set", "plugins.secrets.remove", "plugins.enable", "plugins.reset")
)
ROUTES = in_order([route for route in WRITES if route.name not in AT_ONCE | SAME])


@pytest.mark.skipif(UNDER_TEST is not None, reason="changes a part of the runtime")
@pytest.mark.timeout(120)
def test_each_change_leaves_a_trace(tmp_path: Path) -> None:
    """For each write of the API outside a single transaction of state.db: if the runtime is killed
    when the write was done, the audit trail has it as begun, and the next start reports it and
    closes it as unknown."""
    env = {**write_folders(tmp_path), **AS_ROOT, "RUNTIME_SPARE_WORKERS": "0"}
    with running(tmp_path / "apps", env=env) as runtime, walking(runtime) as walker:
        walker.furnish()
    killed = ""
    for route in ROUTES:
        with (
            running(tmp_path / "apps", env=env, first="tests.support.auditkills") as runtime,
            walking(runtime) as walker,
        ):
            if killed:
                check(runtime, walker, killed)
            killed = route.name
            if "{worker}" in route.path:
                walker.http.get("/shop/")
            asked = walker.asked(route)
            with contextlib.suppress(httpx.RemoteProtocolError):  # a deploy has answered by then
                walker.ask(asked)
            assert runtime.process.wait(20) == -signal.SIGKILL, killed
    with running(tmp_path / "apps", env=env) as runtime, walking(runtime) as walker:
        check(runtime, walker, killed)


def check(runtime: Runtime, walker: Walker, action: str) -> None:
    """The next start reports the change."""
    assert runtime.wait_for_record("audit.unknown")["action"] == action
    (last, before) = walker.http.get("/api/audit?limit=2").json()["entries"]
    assert (last["result"], last["begun"]) == ("unknown", before["number"])
    assert (before["result"], before["action"]) == ("begun", action)


@contextlib.contextmanager
def walking(runtime: Runtime) -> Iterator[Walker]:
    walker = Walker(runtime.url, OPERATORS_KEY)
    with walker.http:
        yield walker
