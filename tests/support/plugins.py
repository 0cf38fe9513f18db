"""A plugin's process, and what the runtime asks it."""

from __future__ import annotations

import textwrap
from typing import Any

from buntime.wire import Message, encode
from tests.support.workshop import Answer, Worker, Workshop

FIELDS: dict[str, Any] = {
    "method": "GET",
    "path": "/cart",
    "query": "a=1&b=x+y",
    "headers": [["host", "example.com"], ["cookie", "sid=7"], ["x-twice", "1"], ["x-twice", "2"]],
    "client": ["203.0.113.7", 50123],
    "scheme": "https",
    "host": "example.com",
    "app": "shop",
    "version": "1.2.0",
    "base": "/shop@1",
    "identity": None,
    "isPublic": False,
    "isWebSocket": False,
    "requestId": "req-1",
}
# What the runtime sends as the second object of a HOOK's line.
SHARED = ("method", "headers", "scheme", "host", "base", "app", "version", "isPublic")
# Lets one source serve for sync and for async plugins.
WORDS = {
    "sync": {"async_": "", "await_": ""},
    "async": {"async_": "async ", "await_": "await "},
}


class Verdict(Answer):
    """What a plugin answered to one HOOK."""

    def __init__(self, messages: list[tuple[Message, bytes]]) -> None:
        self.message, first = messages[0]
        is_response = self.message["action"] == "respond"
        fields = self.message if is_response else {**self.message, "headers": []}
        super().__init__([(fields, first), *messages[1:]])
        self.action: str = messages[-1][0].get("action", self.message["action"])

    @property
    def said(self) -> Message:
        """The fields of a `continue` or a `change`."""
        return {k: v for k, v in self.message.items() if k not in ("type", "id", "action")}


def plugin_init(**plugin: Any) -> dict[str, Any]:
    """The fields of INIT for a plugin."""
    runtime = {"version": "0.1.0", "api": 1, "environment": "development"}
    info = {"name": "guard", "config": {}, "runtime": runtime, "uses": [], **plugin}
    return {"entrypoint": "plugin.py", "base": "/guard", "plugin": info}


def start_plugin(
    shop: Workshop, source: str, words: str = "sync", *, concurrency: int | None = None, **info: Any
) -> Worker:
    """Start a plugin whose source may have {async_} and {await_}."""
    worker = boot_plugin(shop, source, words, concurrency=concurrency, **info)
    worker.ready()
    return worker


def boot_plugin(
    shop: Workshop, source: str, words: str = "sync", *, concurrency: int | None = None, **info: Any
) -> Worker:
    """Start a plugin, whatever comes of it."""
    text = textwrap.dedent(source)
    for name, word in WORDS[words].items():
        text = text.replace("{" + name + "}", word)
    return shop.boot(text, **plugin_init(**info), concurrency=concurrency)


def ask(
    worker: Worker,
    hook: str = "on_request",
    body: bytes = b"",
    *,
    response: Message | None = None,
    end: bool = True,
    **fields: Any,
) -> int:
    """Send a HOOK; returns its id."""
    worker._next_id += 1
    message: Message = {"type": "HOOK", "id": worker._next_id, "hook": hook, "timeout_ms": 1000}
    shared: Message = {}
    if hook in ("on_request", "on_response"):
        message["request"] = {**FIELDS, **fields}
        shared = {name: message["request"].pop(name) for name in SHARED}
    if response is not None:
        message["response"] = response
    if body:
        message["size"] = len(body)
    if not end:
        message["end"] = False
    line = encode(message)
    if shared:
        line = line.rstrip() + encode(shared)
    worker.socket.sendall(line + body)
    return worker._next_id


def verdict(worker: Worker, number: int, *, grants: bool = True) -> Verdict:
    """Wait for a plugin's answer to a HOOK."""
    messages = []
    while True:
        message, payload = worker.take(
            lambda m: m.get("id") == number and m["type"] in ("VERDICT", "BODY")
        )
        messages.append((message, payload))
        if message.get("end", True):
            return Verdict(messages)
        if grants and payload:
            worker.send({"type": "WINDOW", "id": number, "credit": len(payload)})


def asked(worker: Worker, *args: Any, **fields: Any) -> Verdict:
    """Send a HOOK and wait for the verdict."""
    return verdict(worker, ask(worker, *args, **fields))
