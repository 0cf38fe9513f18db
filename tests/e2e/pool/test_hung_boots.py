"""Apps that never finish loading: the log and the answer say where they hang."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.client import Answer, fetch
from tests.support.harness import Runtime, running, wait_until, write_app

APPS = {
    "server": """
from wsgiref.simple_server import make_server
def app(environ, start_response): ...
print("hangs", flush=True); make_server("127.0.0.1", 0, app).serve_forever()
""",
    "lifespan": """
import asyncio
async def app(scope, receive, send):
    await wait()
async def wait():
    print("hangs", flush=True); await asyncio.Event().wait()
""",
    "input": """
import threading
def connect():
    print("hangs", flush=True); threading.Event().wait()
connect()
def app(environ, start_response): ...
""",
}
WHERE = {
    "server": "app.py, line 4, in <module>: it starts a server of its own, which never returns",
    "lifespan": "app.py, line 6, in wait",
    "input": "app.py, line 4, in connect",
}


def write_all(folder: Path, timeout: str) -> None:
    for name, source in APPS.items():
        write_app(folder / name, {"app.py": source}, ttl=60, timeout=timeout)


def counted(runtime: Runtime, name: str, **fields: str) -> int:
    records = tuple(runtime.records)
    return sum(r.get("app") == name and fields.items() <= r.items() for r in records)


def after_a_hung_boot(runtime: Runtime, name: str) -> Answer:
    """The answer to a boot that hung; on a busy machine a boot may time out before it hangs."""
    for boots in range(1, 4):  # more failures would be a crash loop
        hung = counted(runtime, name, event="app.output", message="hangs")
        answer = fetch(runtime, f"/{name}/")
        wait_until(lambda boots=boots: counted(runtime, name, event="app.boot_timeout") == boots)
        if counted(runtime, name, event="app.output", message="hangs") > hung:
            return answer
    raise AssertionError(f"no boot of {name} has come to where it hangs: {runtime.tail()}")


def of_all(runtime: Runtime) -> list[Answer]:
    """The apps' answers, in their order, to requests that wait at the same time."""
    with ThreadPoolExecutor(len(APPS)) as threads:
        return [*threads.map(lambda name: fetch(runtime, f"/{name}/"), APPS)]


def test_the_boot_has_no_more_time(tmp_path: Path) -> None:
    """After RUNTIME_BOOT_TIMEOUT the log and the answer say where the app hangs."""
    write_all(tmp_path, "9s")
    with running(tmp_path, env={"RUNTIME_BOOT_TIMEOUT": "1s"}) as runtime:
        for name, where in WHERE.items():
            answer = after_a_hung_boot(runtime, name)
            assert (answer.status, answer.error["code"]) == (500, "app_boot_failed")
            assert where in answer.body.decode()
            assert "app.py" in runtime.wait_for_record("worker.stacks", app=name)["stack"]
            told = [r for r in tuple(runtime.records) if r["event"] == "app.boot_timeout"]
            assert told[-1]["where"].startswith(where)
        runtime.stop(signal.SIGKILL)  # it would give the workers that hang some time to end


def test_the_request_has_no_more_time(tmp_path: Path) -> None:
    """The answer to a request whose time is over before that says so, too; a stop ends them all."""
    write_all(tmp_path, "1s")
    with running(tmp_path, env={"RUNTIME_SHUTDOWN_TIMEOUT": "1"}) as runtime:
        assert [answer.status for answer in of_all(runtime)] == [503] * len(APPS)
        for name in APPS:  # the boot outlasts the request
            runtime.wait_for_line("hangs", app=name)
        for (name, where), answer in zip(WHERE.items(), of_all(runtime), strict=True):
            assert (answer.status, answer.error["code"]) == (503, "app_loading")
            assert where in answer.body.decode()
            assert "app.py" in runtime.wait_for_record("worker.stacks", app=name)["stack"]
        assert runtime.stop() == 0
