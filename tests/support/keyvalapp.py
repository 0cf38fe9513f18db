"""A runtime with the bundled plugin keyval, and apps that use it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.harness import PACKAGES, Runtime, running, write_app

# Runs the code in a POST's body, and answers with what that code leaves in `result`.
SYNC = """
import threading, time
from buntime import Response, ServiceError
from buntime.keyval import keyval
kv = keyval()

def fetch(request):
    names = {"kv": kv, "threading": threading, "time": time, "ServiceError": ServiceError}
    exec(request.text(), names)
    return Response.json(names.get("result"))
"""
ASYNC = """
import asyncio, textwrap
from buntime import Response, ServiceError
from buntime.keyval import async_keyval
kv = async_keyval()

async def fetch(request):
    body = textwrap.indent(await request.text(), "    ")
    names = {"kv": kv, "asyncio": asyncio, "ServiceError": ServiceError}
    exec("async def run():\\n" + body + "    return result\\n", names)
    return Response.json(await names["run"]())
"""


@contextmanager
def with_keyval(folder: Path, **env: str) -> Iterator[Runtime]:
    """A runtime with the apps `shop` (sync) and `cafe` (async)."""
    for name, source in (("shop", SYNC), ("cafe", ASYNC)):
        files = {"app.py": source}
        write_app(folder / "apps" / name, files, ttl=600, uses=["kv"], timeout="20s")
    dirs = {
        "RUNTIME_PLUGIN_DIRS": str(folder / "none"),  # keyval is bundled
        "RUNTIME_STATE_DIR": str(folder / "s"),
    }
    with running(
        folder / "apps", env={"RUNTIME_ENV": "production", **PACKAGES, **dirs, **env}
    ) as runtime:
        yield runtime


def code(text: str) -> bytes:
    """The code that an app should run."""
    return textwrap.dedent(text).encode()
