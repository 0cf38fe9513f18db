"""What plugins offer: methods marked with @exposed, called by others, sync and async."""

import json

import pytest

from tests.support.plugins import WORDS, ask, asked, boot_plugin, start_plugin
from tests.support.services import (
    call,
    called,
    give,
    grant,
    outcome,
    send_by_credit,
    take_item,
    the_call,
)
from tests.support.workshop import Workshop, eventually

BOTH = pytest.mark.parametrize("words", WORDS)
HEAD = """
import asyncio, threading, time
from buntime.plugin import plugin, exposed, Response, ServiceError
"""


@BOTH
def test_a_call(shop: Workshop, words: str) -> None:
    """A method is called with its arguments, knows its caller, and its result comes back."""
    source = (
        HEAD
        + """
class Store:
    @exposed
    {async_}def get(self, key, *, n=0):
        return {"key": key, "n": n, "caller": plugin.caller}
    @exposed
    {async_}def nothing(self): ...
    @staticmethod
    @exposed
    {async_}def fixed(a): return (a, b"bytes", {"$bytes": 1})
    @exposed
    @classmethod
    {async_}def name(cls): return cls.__name__
services = {"kv": Store()}
"""
    )
    worker = start_plugin(shop, source, words)
    got = called(worker, "get", "a", kwargs={"n": 2})
    assert got.value == {"key": "a", "n": 2, "caller": "app:shop"}
    assert called(worker, "get", 1, caller="plugin:audit").value["caller"] == "plugin:audit"
    assert called(worker, "nothing").value is None
    fixed = called(worker, "fixed", {"$bytes": 3}, payload=b"abc")
    assert fixed.value == [{"$bytes": 3}, {"$bytes": 5}, {"$$bytes": 1}]
    assert fixed.payload == b"abcbytes"
    assert called(worker, "name").value == "Store"
    assert worker.terminate() == 0
    assert worker.stderr == ""


@BOTH
def test_only_what_is_exposed(shop: Workshop, words: str) -> None:
    """A method without the mark cannot be called, whatever its name, inherited or not."""
    source = (
        HEAD
        + """
class Base:
    @exposed
    def base(self): return "base"
    @exposed
    def hidden(self): return "no"
class Store(Base):
    limit = 3
    @property
    def trap(self): raise SystemExit("a property ran")
    @exposed
    {async_}def get(self): return "got"
    def hidden(self): return "not marked here"
    def plain(self): return "no"
    def __call__(self): return "no"
services = {"kv": Store()}
"""
    )
    worker = boot_plugin(shop, source, words)
    assert worker.ready()["services"] == {"kv": ["base", "get"]}
    assert called(worker, "get").value == "got"
    assert called(worker, "base").value == "base"
    names = (
        "plain",
        "hidden",
        "trap",
        "limit",
        "__init__",
        "__class__",
        "__call__",
        "get.__call__",
    )
    for name in (*names, "", "nothing"):
        got = called(worker, name)
        assert (got.code, got.text) == ("unknown", f"the service kv has no method {name}")
    assert called(worker, "get", service="other").code == "unknown"


@BOTH
def test_errors(shop: Workshop, words: str) -> None:
    """A ServiceError arrives with its code; of other errors the caller gets a line, and the log the
    stack."""
    source = (
        HEAD
        + """
class Store:
    @exposed
    {async_}def own(self): raise ServiceError("conflict", "another was first")
    @exposed
    {async_}def bare(self): raise ServiceError("empty")
    @exposed
    {async_}def fails(self): return {}["x"]
    @exposed
    {async_}def exits(self): exit(3)
    @exposed
    {async_}def bad(self): return object()
    @exposed
    {async_}def large(self): return b"x" * (17 << 20)
    @exposed
    {async_}def get(self, key): return key
services = {"kv": Store()}
"""
    )
    worker = start_plugin(shop, source, words)
    got = called(worker, "own")
    assert (got.code, got.text) == ("conflict", "another was first")
    assert (called(worker, "bare").code, called(worker, "bare").text) == ("empty", "empty")
    assert worker.stderr == ""
    got = called(worker, "fails")
    assert (got.code, got.text) == ("failed", "KeyError: 'x'")
    eventually(lambda: "kv.fails failed" in worker.stderr)
    assert 'return {}["x"]' in worker.stderr
    assert called(worker, "exits").code == "failed"
    assert "object is neither" in called(worker, "bad").text
    assert "carries at most" in called(worker, "large").text
    assert "TypeError" in called(worker, "get").text
    assert "TypeError" in called(worker, "get", 1, 2).text
    assert called(worker, "get", {"$bytes": 5}, payload=b"1").code == "failed"
    assert called(worker, "get", "fine").value == "fine"


@BOTH
def test_large_contents(shop: Workshop, words: str) -> None:
    """Arguments and results above 64 KiB are sent in pieces, by credit."""
    source = (
        HEAD
        + """
class Store:
    @exposed
    {async_}def echo(self, text, blob): return {"text": text, "blob": blob}
services = {"kv": Store()}
"""
    )
    worker = start_plugin(shop, source, words)
    contents = {"args": ["t" * 400_000, {"$bytes": 400_000}], "kwargs": {}}
    text = json.dumps(contents).encode()
    worker._next_id += 1
    number = worker._next_id
    head = {"type": "CALL", "id": number, "service": "kv", "method": "echo", "caller": "app:a"}
    worker.send({**head, "text": len(text), "total": len(text) + 400_000})
    send_by_credit(worker, number, text + b"b" * 400_000)
    got = outcome(worker, number)
    assert got.value == {"text": "t" * 400_000, "blob": {"$bytes": 400_000}}
    assert got.payload == b"b" * 400_000
    deep = json.loads("[" * 900 + "]" * 900)
    for args in (deep, 5, None, {"a": 1}):  # what a hostile worker could write
        worker._next_id += 1
        worker.send({**head, "id": worker._next_id, "args": args, "kwargs": {}})
        assert outcome(worker, worker._next_id).code == "failed"
    for fields in ({"args": []}, {"args": [], "kwargs": 5}, {"text": "5", "total": 9}):
        worker._next_id += 1
        worker.send({**head, "id": worker._next_id, **fields})
        assert outcome(worker, worker._next_id).code == "failed"
    for sizes in ({"text": 5, "total": 4}, {"text": 1, "total": 17 << 20}):
        worker._next_id += 1
        worker.send({**head, "id": worker._next_id, **sizes})
        assert outcome(worker, worker._next_id).code == "failed"
    worker._next_id += 1
    worker.send({**head, "id": worker._next_id, "text": 10, "total": 10})
    worker.send({"type": "ITEM", "id": worker._next_id, "size": 10}, b"not json!!")
    assert outcome(worker, worker._next_id).code == "failed"
    worker.send({"type": "ITEM", "id": worker._next_id, "size": 10}, b"far behind")
    assert asked(worker).action == "failed"  # there is no hook, and it survives


STREAMS = """
class Store:
    ended = 0
    @exposed
    def count(self, n):
        try:
            for each in range(n):
                yield None if each == 1 else each
        finally:
            Store.ended += 1
    @exposed
    {async_}def count_beside(self, n):
        for each in range(n):
            yield {"n": each, "caller": plugin.caller}
    @exposed
    def iterator(self): return iter([b"a", b"b" * 100_000])
    @exposed
    {async_}def breaks(self):
        yield 1
        raise ServiceError("gone", "broke off")
    @exposed
    def for_ever(self):
        try:
            while not plugin.is_cancelled():
                yield b"x" * 1000
        finally:
            Store.ended += 1
    @exposed
    {async_}def how_many(self): return Store.ended
services = {"kv": Store()}
"""


@BOTH
def test_streams(shop: Workshop, words: str) -> None:
    """What a method yields is sent as ITEM, from generators of both kinds and other iterators."""
    worker = start_plugin(shop, HEAD + STREAMS, words)

    def items(method: str, *args: object) -> list[object]:
        number = call(worker, method, *args)
        assert outcome(worker, number).message["stream"] is True
        got = [take_item(worker, number)]
        while not (isinstance(got[-1], dict) and got[-1].get("end")):
            got.append(take_item(worker, number))
        end = got.pop()
        return [*got, end["error"]["code"]] if "error" in end else got

    assert items("count", 3) == [0, None, 2]
    assert items("count", 0) == []
    assert len(items("count", 2200)) == 2200  # more than the window has room for
    beside = items("count_beside", 50)
    assert beside[7] == {"n": 7, "caller": "app:shop"}
    assert items("iterator") == [{"$bytes": 1}, {"$bytes": 100_000}]
    assert items("breaks") == [1, "gone"]
    assert called(worker, "how_many").value == 3
    assert worker.terminate() == 0
    assert worker.stderr == ""


@BOTH
def test_a_stream_waits_for_credit(shop: Workshop, words: str) -> None:
    """No more than the window is sent without credit; CANCEL ends the stream and closes the
    generator."""
    worker = start_plugin(shop, HEAD + STREAMS, words)
    number = call(worker, "for_ever")
    outcome(worker, number)
    window = 128 * 1024
    sent = 0
    while sent + 1100 < window:
        sent += len(worker.take(lambda m: m["type"] == "ITEM")[1]) + 64
    assert called(worker, "how_many").value == 0
    assert worker.leftover() == []
    grant(worker, number, 5000)
    for _ in range(4):
        take_item(worker, number, grants=False)
    worker.cancel(number, "caller")
    end = take_item(worker, number, grants=False)
    while not isinstance(end, dict) or not end.get("end"):
        end = take_item(worker, number, grants=False)
    assert end.get("error", {"code": "late"})["code"] == "late"  # or it has ended by itself
    eventually(lambda: called(worker, "how_many").value == 1)
    assert worker.terminate() == 0


@BOTH
def test_calls_have_slots_of_their_own(shop: Workshop, words: str) -> None:
    """Calls that take all slots hold up neither hooks nor requests, and streams hold up no
    calls."""
    source = (
        HEAD
        + """
gate = threading.Event()
class Store:
    @exposed
    def wait(self): gate.wait(30); return "late"
    @exposed
    def watch(self):
        yield 1
        gate.wait(30)
    @exposed
    {async_}def get(self): return "got"
services = {"kv": Store()}
{async_}def on_request(request): ...
{async_}def fetch(request):
    gate.set()
    return Response("open")
"""
    )
    worker = start_plugin(shop, source, words, concurrency=2)
    streams = [call(worker, "watch") for _ in range(8)]
    for number in streams:
        assert outcome(worker, number).message["stream"]
        assert take_item(worker, number) == 1
    assert called(worker, "get").value == "got"
    waiting = [call(worker, "wait") for _ in range(3)]
    for _ in range(10):
        assert asked(worker).action == "continue"
    assert worker.get("/guard/", base="/guard").text == "open"
    assert [outcome(worker, number).value for number in waiting] == ["late"] * 3
    for number in streams:
        assert take_item(worker, number)["end"]


def test_too_many_streams(shop: Workshop) -> None:
    """A sync plugin has a thread for each of a hundred streams, and no more."""
    source = (
        HEAD
        + """
gate = threading.Event()
class Store:
    @exposed
    def watch(self):
        yield 1
        gate.wait(30)
    @exposed
    def open(self): gate.set()
services = {"kv": Store()}
"""
    )
    worker = start_plugin(shop, source)
    numbers = [call(worker, "watch") for _ in range(100)]
    assert all(outcome(worker, number).message["stream"] for number in numbers)
    assert called(worker, "watch").code == "busy"
    called(worker, "open")
    for number in numbers:
        assert take_item(worker, number) == 1
        assert take_item(worker, number)["end"]
    again = call(worker, "watch")
    assert outcome(worker, again).message["stream"]


@BOTH
def test_cancel(shop: Workshop, words: str) -> None:
    """CANCEL ends an async method, notifies a sync one, and keeps waiting ones from starting."""
    source = (
        HEAD
        + """
class Store:
    @exposed
    {async_}def wait(self):
        print("begun")
        try:
            if "{async_}":
                {await_}pause(60)
            while not plugin.is_cancelled():
                time.sleep(0.001)
        finally:
            print("ended")
pause = asyncio.sleep if "{async_}" else time.sleep
services = {"kv": Store()}
"""
    )
    worker = start_plugin(shop, source, words, concurrency=1)
    number = call(worker, "wait")
    eventually(lambda: worker.stdout == "begun\n")
    worker.cancel(number, "caller")
    outcome(worker, number)
    eventually(lambda: worker.stdout == "begun\nended\n")
    assert worker.terminate() == 0


@BOTH
def test_one_plugin_calls_another_and_itself(shop: Workshop, words: str) -> None:
    """During a call a plugin can call services, including its own; it is then the caller."""
    source = (
        HEAD
        + """
kv = plugin.{async_}service("kv")
class Store:
    @exposed
    {async_}def outer(self):
        got = {await_}kv.inner()
        return [got, plugin.caller]
    @exposed
    {async_}def inner(self): return plugin.caller
services = {"kv": Store()}
""".replace("plugin.{async_}service", "plugin.SERVICE")
    )
    source = source.replace("SERVICE", "service" if words == "sync" else "async_service")
    for concurrency in (2, None):
        worker = start_plugin(shop, source, words, concurrency=concurrency)
        outer = call(worker, "outer")
        asks = the_call(worker)
        assert (asks["method"], asks["id"] < 0) == ("inner", True)
        inner = called(worker, "inner", caller="plugin:guard")
        give(worker, asks, inner.value)
        assert outcome(worker, outer).value == ["plugin:guard", "app:shop"]
        assert asked(worker).action == "failed"


def test_a_call_after_terminate(shop: Workshop) -> None:
    """A CALL that arrives after TERMINATE is answered `away`; an earlier one is finished."""
    source = (
        HEAD
        + """
class Store:
    @exposed
    def wait(self):
        while not plugin.is_cancelled():
            time.sleep(0.001)
        return "done"
services = {"kv": Store()}
"""
    )
    worker = start_plugin(shop, source)
    first = call(worker, "wait")
    worker.send({"type": "TERMINATE"})
    late = call(worker, "wait")
    assert outcome(worker, late).code == "away"
    hook = ask(worker)
    assert (
        worker.take(lambda m: m["type"] == "VERDICT" and m["id"] == hook)[0]["action"] == "failed"
    )
    assert worker.leftover() == []
    worker.cancel(first)
    assert outcome(worker, first).value == "done"
    assert worker.process.wait(20) == 0


@pytest.mark.parametrize("call_id", [7, -7])
def test_what_belongs_to_no_call(shop: Workshop, call_id: int) -> None:
    """ITEM, WINDOW, RESULT and CANCEL for calls that have ended or never existed are ignored."""
    for words in WORDS:
        worker = start_plugin(shop, "{async_}def on_request(request): ...", words)
        worker.send({"type": "ITEM", "id": call_id, "size": 3}, b"abc")
        worker.send({"type": "ITEM", "id": call_id, "end": True})
        worker.send({"type": "WINDOW", "id": call_id, "credit": 10})
        worker.send({"type": "CANCEL", "id": call_id, "reason": "caller"})
        if call_id < 0:
            give(worker, call_id, 1)
        assert asked(worker).action == "continue"
        assert worker.terminate() == 0
        assert worker.stderr == ""
