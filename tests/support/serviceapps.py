"""A plugin that offers a service, and apps that call it, for a real runtime."""

from __future__ import annotations

from typing import Any

from tests.support.client import Answer, fetch
from tests.support.harness import Runtime

# The service `kv` of the plugin `store`.
STORE = """
import os, signal, time
from buntime import ServiceError
from buntime.plugin import exposed, plugin

class Store:
    def __init__(self):
        self.values = {}
        self.events = []
    @exposed
    def who(self): return plugin.caller
    @exposed
    def echo(self, *args, **kwargs): return [list(args), kwargs]
    @exposed
    def size(self, data): return len(data)
    @exposed
    def make(self, size): return b"x" * size
    @exposed
    def fails(self): raise RuntimeError("no disk")
    @exposed
    def refuses(self): raise ServiceError("conflict", "another one was first")
    @exposed
    def sleep(self, seconds):
        self.events.append("begun")
        end = time.monotonic() + seconds
        while time.monotonic() < end and not plugin.is_cancelled():
            time.sleep(0.01)
        self.events.append("cancelled" if plugin.is_cancelled() else "slept")
        return seconds
    @exposed
    def die(self): os.kill(os.getpid(), signal.SIGKILL)
    @exposed
    def count(self, most):
        try:
            for n in range(most):
                yield n
            self.events.append("all")
        except GeneratorExit:
            self.events.append("closed")
            raise
    @exposed
    def blocks(self, count, size):
        for n in range(count):
            yield bytes([n % 256]) * size
    @exposed
    def breaks(self):
        yield 1
        raise ServiceError("gone", "the rest is lost")
    @exposed
    def told(self): return self.events

services = {"kv": Store()}
"""

# What apps that call begin with.
HEAD = """
import asyncio, json, threading, time
from urllib.parse import unquote
from buntime import Response, ServiceError, async_service, service
kv = service("kv")
akv = async_service("kv")
"""
# An app that does what the path says: "/METHOD?[args]" or "/SERVICE/METHOD?[args]".
CALLS = (
    HEAD
    + """
def fetch(request):
    *named, method = request.path.strip("/").split("/")
    args = json.loads(unquote(request.target.partition("?")[2] or "[]"))
    try:
        value = getattr(service(*named or ["kv"]), method)(*args)
        if hasattr(value, "__next__"):
            value = list(value)
    except ServiceError as exc:
        return Response.json({"code": exc.code, "text": str(exc)})
    return Response.json({"value": len(value) if isinstance(value, bytes) else value})
"""
)


def call(runtime: Runtime, target: str, app: str = "shop") -> dict[str, object]:
    """The outcome of a call by an app with the code CALLS."""
    found: dict[str, object] = told(fetch(runtime, f"/{app}/{target}"))
    return found


def told(answer: Answer) -> Any:
    """The JSON of an answer that must be one."""
    assert answer.status == 200, answer.body
    return answer.json()
