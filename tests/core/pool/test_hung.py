"""Where an app hangs while it loads, found in the stacks of its worker."""

import pytest

from buntime.core.pool.hung import where

MAIN = """
  File "/cache/buntime/worker/entrypoint.py", line 41 in import_entrypoint
  File "/cache/buntime/worker/main.py", line 101 in main
"""
OTHER = """Thread 0x00007f40e77ffb80 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 327 in wait
  File "/apps/shop/jobs.py", line 3 in run

"""
CURRENT = "Current thread 0x00007f40e77ff000 (most recent call first):\n"


def stacks(*frames: str, tasks: str = "") -> str:
    lines = "\n".join(f"  File {frame}" for frame in frames)
    return f"{OTHER}{CURRENT}{lines}{MAIN}{tasks}"


def test_the_innermost_line_of_the_app() -> None:
    """The innermost line of the app itself is reported, from the loading thread, not a
    package's."""
    text = stacks(
        '"/usr/lib/python3.11/socket.py", line 9 in recv',
        '"/apps/shop/.venv/lib/python3.11/site-packages/db.py", line 8 in connect',
        '"/apps/shop/lib/store.py", line 7 in opened',
        '"/apps/shop/app.py", line 3 in <module>',
    )
    assert where(text, "/apps/shop") == "lib/store.py, line 7, in opened"


@pytest.mark.parametrize(
    "file",
    [
        "/usr/lib/python3.11/socketserver.py",
        "/p/site-packages/flask/app.py",
        "/p/site-packages/uvicorn/server.py",
        "/p/site-packages/aiohttp/web.py",
        "/p/site-packages/gevent/pywsgi.py",
        "/p/site-packages/gradio/blocks.py",
    ],
)
def test_servers_are_known(file: str) -> None:
    """A server that is started at import gets advice that names the line."""
    text = stacks(
        '"/usr/lib/python3.11/selectors.py", line 415 in select',
        f'"{file}", line 233 in serve',
        '"/apps/shop/app.py", line 12 in <module>',
    )
    said = where(text, "/apps/shop")
    assert said.startswith("app.py, line 12, in <module>: it starts a server of its own")


def test_tasks_come_after_the_thread_that_loads() -> None:
    """A waiting lifespan is found in its task."""
    task = """
Task lifespan (most recent call first):
  File "/usr/lib/python3.11/asyncio/locks.py", line 213 in wait
  File "/apps/shop/app.py", line 5 in lifespan
"""
    text = stacks('"/usr/lib/python3.11/selectors.py", line 468 in select', tasks=task)
    assert where(text, "/apps/shop") == "app.py, line 5, in lifespan"


def test_other_threads_come_last() -> None:
    """If nothing else is found, a line of another thread is reported, or nothing."""
    assert where(stacks(), "/apps/shop") == "jobs.py, line 3, in run"
    assert where("no answer: the process is stopped", "/apps/shop") == ""
    assert where(stacks(), "/apps/other") == ""
