"""A runtime that is killed between a change and the row that ends it leaves a trace."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploying import AS_ROOT
from tests.support.harness import OPERATORS_KEY, UNDER_TEST, Runtime, running
from tests.support.writewalk import WRITES, Walker, in_order, rows_of, write_folders

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
    """For each write of the API outside a single transaction of state.db: what is on the disk when
    the write was done has it as begun; if the runtime is killed, the next start reports each and
    closes it as unknown."""
    env = {**write_folders(tmp_path), **AS_ROOT, "RUNTIME_SPARE_WORKERS": "0"}
    with running(tmp_path / "apps", env=env) as runtime, walking(runtime) as walker:
        walker.furnish()
    with (
        running(tmp_path / "apps", env=env, first="tests.support.auditkills") as runtime,
        walking(runtime) as walker,
    ):
        for route in ROUTES:
            if "{worker}" in route.path:
                walker.http.get("/shop/")
            answer = walker.ask(walker.asked(route))
            assert answer.status_code < 300, f"{route.name}: {answer.text}"
            runtime.wait_for_record("left", action=route.name)  # a deploy has answered by then
            rows = rows_of(tmp_path / "left" / route.name)
            newest, *_ = max(rows["audit_open"])
            assert (newest, route.name) in [(row[0], row[3]) for row in rows["audit"]]
        runtime.process.kill()
        assert runtime.process.wait(20) == -signal.SIGKILL
    with running(tmp_path / "apps", env=env) as runtime, walking(runtime) as walker:
        check(runtime, walker)


def check(runtime: Runtime, walker: Walker) -> None:
    """The next start reports all changes, in their order."""
    actions = [route.name for route in ROUTES]
    runtime.wait_for_record("audit.unknown", action=actions[-1])
    told = [each["action"] for each in runtime.records if each["event"] == "audit.unknown"]
    assert told == actions
    entries = walker.http.get(f"/api/audit?limit={2 * len(actions)}").json()["entries"][::-1]
    begun, ends = entries[: len(actions)], entries[len(actions) :]
    assert [each["action"] for each in begun] == actions
    assert {each["result"] for each in begun} == {"begun"}
    assert {each["result"] for each in ends} == {"unknown"}
    assert [each["begun"] for each in ends] == [each["number"] for each in begun]


@contextlib.contextmanager
def walking(runtime: Runtime) -> Iterator[Walker]:
    walker = Walker(runtime.url, OPERATORS_KEY)
    with walker.http:
        yield walker
