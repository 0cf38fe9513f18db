"""Calls between two workers, connected by the runtime; a test plays both."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import wire
from buntime.core.plugins.callwindow import STEP_BYTES
from buntime.core.plugins.services import CALLS_MAX
from buntime.core.telemetry.pluginmeters import Failure
from buntime.server.plugins.calls import step_of
from buntime.server.pool import calling
from buntime.server.pool.calling import Caller
from buntime.wire import CALL_WINDOW, CONTENT_MAX, MAX_PAYLOAD
from tests.support.farend import FarEnd, message
from tests.support.switchboard import PIECE, Exchange, call_message

LARGE = {"text": 10, "total": 10 * MAX_PAYLOAD}
OK = {"ok": True, "value": 1}
NO = {"ok": False, "error": {"code": "conflict", "message": "no"}}


@pytest.fixture
def made() -> Iterator[Exchange]:
    exchange = Exchange()
    yield exchange
    exchange.close()
    assert exchange.shop.errors == []


def tell(far: FarEnd, type_: str, payload: bytes = b"", /, **fields: Any) -> None:
    """Send a message from a worker that may have been given up already."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        far.sock.sendall(message(type_, payload, **fields))
    far.loop.run_once(0)


# A call and its answer


def test_a_call(made: Exchange) -> None:
    """A call reaches the plugin under a number of its own, and the value comes back, bytes
    included."""
    made.call(-7, b"abc", args=[{"$bytes": 3}], kwargs={"k": 1})
    ((kind, message, payload),) = made.store.hear()
    assert (kind, payload) == ("CALL", b"abc")
    assert message == {
        "type": "CALL",
        "id": 1,
        "service": "kv",
        "method": "get",
        "args": [{"$bytes": 3}],
        "kwargs": {"k": 1},
        "caller": "app:shop",
        "timeout_ms": 5000,
        "size": 3,
    }
    made.store.say("RESULT", b"xy", id=1, ok=True, value={"$bytes": 2})
    ((kind, message, payload),) = made.shop.hear()
    assert (kind, payload) == ("RESULT", b"xy")
    assert message == {
        "type": "RESULT",
        "id": -7,
        "ok": True,
        "value": {"$bytes": 2},
        "size": 2,
    }
    assert made.is_at_rest


def test_who_calls(made: Exchange) -> None:
    """The caller is determined by whose worker it is, whatever was sent."""
    made.call(caller="plugin:store")
    assert made.called()["caller"] == "app:shop"


def test_its_number_is_of_the_requests(made: Exchange) -> None:
    """Calls and requests of a plugin's worker share a counter."""
    made.store.assign()
    made.store.hear()
    assert made.begin() == 2


def test_an_error(made: Exchange) -> None:
    """An error from the plugin arrives unchanged."""
    number = made.begin()
    made.store.say("RESULT", id=number, **NO)
    ((_, message, _),) = made.shop.hear()
    assert message["error"] == NO["error"]
    assert made.is_at_rest


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"service": "gone"}, "unknown"),
        ({"service": "raw"}, "no grant"),
        ({"service": "other"}, "no grant"),
        ({"service": 5}, "unknown"),
        ({"method": "__init__"}, "unknown"),
        ({"method": None}, "unknown"),
    ],
)
def test_what_may_not_be_called(made: Exchange, fields: dict[str, Any], code: str) -> None:
    """Both sides must allow the call; the plugin is not told of a refused one."""
    made.call(**fields)
    assert made.code() == code
    assert made.store.hear() == []
    assert made.is_at_rest


@pytest.mark.parametrize(
    ("timeout_ms", "told"),
    [(None, 5000), (250, 250), (0.4, 1), (10**9, 3_600_000), ("5", 5000), (-1, 5000)],
)
def test_the_time_of_a_call(made: Exchange, timeout_ms: Any, told: int) -> None:
    """The plugin is told how long the caller waits, by default 5 s."""
    made.call(timeout_ms=timeout_ms)
    assert made.called()["timeout_ms"] == told


def test_steps_of_time() -> None:
    """The timeouts that callers may name map to a few queues, none more than a tenth too long."""
    times = [n / 1000 for n in range(1, 3_600_001, 97)]
    steps = {step_of(time) for time in times}
    assert len(steps) < 200
    assert all(time <= step_of(time) < time * 1.1 for time in times if time >= 1 / 32)


def test_late(made: Exchange) -> None:
    """At the deadline both the caller and the plugin are told, and the plugin's answer is
    dropped."""
    number = made.begin(timeout_ms=1)
    made.shop.loop.timeouts(step_of(0.001)).expire(made.shop.loop.now + 60)
    assert made.code() == "late"
    ((_, message, _),) = made.store.hear()
    assert message == {"type": "CANCEL", "id": number, "reason": "deadline"}
    made.store.say("RESULT", id=number, **OK)
    assert made.shop.hear() == []
    assert made.is_at_rest


def test_late_in_the_midst(made: Exchange) -> None:
    """A large value that is incomplete at the deadline ends with that error."""
    number = made.begin(timeout_ms=1)
    made.store.say("RESULT", id=number, ok=True, **LARGE)
    made.store.say("ITEM", PIECE, id=number)
    made.shop.hear()
    made.shop.loop.timeouts(step_of(0.001)).expire(made.shop.loop.now + 60)
    ((kind, message, _),) = made.shop.hear()
    assert (kind, message["end"], message["error"]["code"]) == ("ITEM", True, "late")


def test_a_stream_has_no_deadline(made: Exchange) -> None:
    """A stream's time counts until it begins."""
    number = made.begin(timeout_ms=1)
    made.store.say("RESULT", id=number, ok=True, stream=True)
    made.shop.loop.timeouts(step_of(0.001)).expire(made.shop.loop.now + 60)
    assert made.shop.kinds() == ["RESULT"]
    made.store.say("ITEM", b"1", id=number, text=1, total=1)
    made.store.say("ITEM", id=number, end=True)
    assert made.shop.kinds() == ["ITEM", "ITEM"]
    assert made.is_at_rest


# Large contents, and credit


def test_large_arguments(made: Exchange) -> None:
    """Large arguments are passed on as they arrive, and credit returns as the plugin takes them."""
    number = made.begin(**LARGE)
    made.shop.say("ITEM", PIECE, id=-1)
    ((kind, message, payload),) = made.store.hear()
    assert (kind, message["id"], payload) == ("ITEM", number, PIECE)
    made.store.say("WINDOW", id=number, credit=MAX_PAYLOAD + 64)
    ((kind, message, _),) = made.shop.hear()
    assert message == {"type": "WINDOW", "id": -1, "credit": MAX_PAYLOAD + 64}


def test_a_stream_and_its_credit(made: Exchange) -> None:
    """The same holds for a stream in the other direction."""
    number = made.begin()
    made.store.say("RESULT", id=number, ok=True, stream=True)
    made.store.say("ITEM", PIECE, id=number, text=2, total=MAX_PAYLOAD)
    ((_, _, _), (kind, message, payload)) = made.shop.hear()
    assert (kind, message["text"], message["total"], payload) == ("ITEM", 2, MAX_PAYLOAD, PIECE)
    made.shop.say("WINDOW", id=-1, credit=MAX_PAYLOAD)
    ((_, message, _),) = made.store.hear()
    assert message == {"type": "WINDOW", "id": number, "credit": MAX_PAYLOAD}


def test_beyond_its_credit(made: Exchange) -> None:
    """A side that sends beyond its window is ended, and the other side is told."""
    number = made.begin(**LARGE)
    made.shop.say("ITEM", PIECE, id=-1)
    made.shop.say("ITEM", PIECE, id=-1)
    assert "beyond its credit" in made.shop.why
    made.shop.worker.drain()
    assert made.store.hear()[-1][1] == {"type": "CANCEL", "id": number, "reason": "caller"}


def test_a_plugin_beyond_its_credit(made: Exchange) -> None:
    number = made.begin()
    made.store.say("RESULT", id=number, ok=True, **LARGE)
    made.store.say("ITEM", PIECE, id=number)
    made.store.say("ITEM", PIECE, id=number)
    assert "beyond its credit" in made.store.why
    made.store.worker.drain()
    assert made.shop.hear()[-1][1]["error"]["code"] == "away"
    assert made.is_at_rest


def test_a_reader_that_only_says_so(made: Exchange) -> None:
    """Credit from a side that does not read is held back until that side has taken what was sent to
    it."""
    number = made.begin()
    made.store.say("RESULT", id=number, ok=True, stream=True)
    made.shop.hear()
    sent = 0
    for _ in range(200):  # shop grants everything, and reads nothing
        made.store.say("ITEM", PIECE, id=number, text=2, total=MAX_PAYLOAD)
        made.shop.say("WINDOW", id=-1, credit=MAX_PAYLOAD + 64)
        sent += 1
        if "WINDOW" not in made.store.kinds():
            break
    assert made.shop.worker.calling.channel.is_backed_up
    assert sent < 20
    kinds = made.shop.kinds()
    made.shop.loop.run_once(0)
    assert "WINDOW" in made.store.kinds()
    assert kinds.count("ITEM") == sent


# Ending early


def test_a_caller_that_cancels(made: Exchange) -> None:
    """The plugin is told of the cancellation; the call counts for it until it has ended it."""
    number = made.begin()
    made.shop.say("CANCEL", id=-1, reason="caller")
    ((_, message, _),) = made.store.hear()
    assert message == {"type": "CANCEL", "id": number, "reason": "caller"}
    made.store.say("RESULT", id=number, ok=True, stream=True)
    made.store.say("ITEM", b"1", id=number, text=1, total=1)
    made.store.say("ITEM", id=number, end=True, error=NO["error"])
    assert made.shop.hear() == []
    assert made.is_at_rest
    made.shop.say("CANCEL", id=-1, reason="caller")  # one that crosses
    assert made.shop.why == ""


def test_a_caller_that_dies(made: Exchange) -> None:
    """A dead caller's calls are cancelled, including those with half of their arguments."""
    numbers = [made.begin(-1), made.begin(-2, **LARGE)]
    made.shop.worker.drain()
    cancelled = [(kind, message["id"]) for kind, message, _ in made.store.hear()]
    assert cancelled == [("CANCEL", number) for number in numbers]
    for number in numbers:
        made.store.say("RESULT", id=number, **NO)
    assert made.is_at_rest


def test_a_provider_that_dies(made: Exchange) -> None:
    """All calls to a dead plugin end with `away`; streams after what has arrived."""
    first, second = made.begin(-1), made.begin(-2)
    made.store.say("RESULT", id=second, ok=True, stream=True)
    made.shop.hear()
    made.store.worker.drain()
    told = [(kind, message["id"], message["error"]["code"]) for kind, message, _ in
            made.shop.hear()]  # fmt: skip
    assert told == [("RESULT", -1, "away"), ("ITEM", -2, "away")]
    assert first != second
    assert made.is_at_rest


def test_a_provider_that_is_told_to_end(made: Exchange) -> None:
    """When a plugin is told to end, its streams end with `moved`, and calls are finished."""
    first, second = made.begin(-1), made.begin(-2)
    made.store.say("RESULT", id=second, ok=True, stream=True)
    made.shop.hear()
    made.store.worker.terminate(after_idle=False)
    ((kind, message, _),) = made.shop.hear()
    assert (kind, message["id"], message["error"]["code"]) == ("ITEM", -2, "moved")
    assert made.store.kinds() == ["CANCEL", "TERMINATE"]
    made.store.say("RESULT", id=first, **OK)
    made.store.say("ITEM", id=second, end=True)
    assert made.shop.kinds() == ["RESULT"]
    assert made.is_at_rest


def test_another_generation(made: Exchange) -> None:
    """When another worker takes over, streams of the previous one end, and calls go to the new
    one."""
    number = made.begin()
    made.store.say("RESULT", id=number, ok=True, stream=True)
    made.shop.hear()
    newer = made.another("plugin:store")
    made.plugins.workers["store"] = newer.worker
    made.plugins.change()
    ((_, message, _),) = made.shop.hear()
    assert message["error"]["code"] == "moved"
    made.call(-2)
    assert made.called(newer)["id"] == 1


# A plugin that does not serve


def test_away(made: Exchange) -> None:
    """A call to a plugin that will not serve soon gets `away` at once."""
    made.plugins.workers.clear()
    made.call()
    assert made.code() == "away"
    assert made.plugins.woken == ["store"]


def test_one_that_starts(made: Exchange) -> None:
    """A call waits for a plugin that is about to serve, with the arguments that have arrived."""
    made.plugins.workers.clear()
    made.plugins.coming.add("store")
    made.call(**LARGE)
    made.shop.say("ITEM", PIECE, id=-1)
    made.plugins.change()
    assert made.shop.hear() == made.store.hear() == []
    made.plugins.workers["store"] = made.store.worker
    made.plugins.change()
    (call, item) = made.store.hear()
    assert (call[0], item[0], item[2]) == ("CALL", "ITEM", PIECE)
    made.store.say("RESULT", id=call[1]["id"], **NO)
    assert made.code() == "conflict"
    assert made.is_at_rest


def test_one_that_fails_to_start(made: Exchange) -> None:
    """If the start fails, the calls that wait are told."""
    made.plugins.workers.clear()
    made.plugins.coming.add("store")
    made.call()
    made.plugins.coming.clear()
    made.plugins.change()
    assert made.code() == "away"
    assert made.is_at_rest


def test_one_that_starts_too_late(made: Exchange) -> None:
    """A call waits no longer than its timeout."""
    made.plugins.workers.clear()
    made.plugins.coming.add("store")
    made.call(timeout_ms=1)
    made.shop.loop.timeouts(step_of(0.001)).expire(made.shop.loop.now + 60)
    assert made.code() == "away"
    assert made.is_at_rest
    made.call(-2)
    made.shop.say("CANCEL", id=-2, reason="caller")
    assert made.is_at_rest


def test_so_many_wait_and_no_more(made: Exchange) -> None:
    """Beyond the limit of waiting calls, the next one is refused at once."""
    made.calls._waiting_max = 2
    made.plugins.workers.clear()
    made.plugins.coming.add("store")
    made.call()
    made.call(-2)
    assert made.shop.hear() == []
    made.call(-3)
    assert made.code() == "busy"


# Limits


def test_too_many_calls(made: Exchange) -> None:
    """One caller may have 64 running calls, across all of its workers; others are not held up."""
    beside = made.another("app:shop", "kv")
    for n in range(CALLS_MAX):
        far = (made.shop, beside)[n % 2]
        far.say("CALL", **call_message(-n - 1))
    assert len(made.store.hear()) == CALLS_MAX
    made.call(-100)
    assert made.code() == "busy"
    other = made.another("app:other", "kv")
    other.say("CALL", **call_message(-1))
    assert made.called()["caller"] == "app:other"
    made.store.say("RESULT", id=1, **OK)
    made.shop.hear()
    assert made.begin(-101) == CALLS_MAX + 2


def test_too_many_given_up(made: Exchange) -> None:
    """Calls that were given up count where they still run, and nowhere else."""
    for n in range(1, CALLS_MAX + 1):
        made.call(-n)
        made.shop.say("CANCEL", id=-n, reason="caller")
    made.call(-100)
    assert made.code() == "busy"
    made.store.say("RESULT", id=1, **OK)
    made.store.hear()
    assert made.begin(-101) == CALLS_MAX + 1


# Memory

FEW_BYTES = 1_000_000


@pytest.fixture
def small() -> Iterator[Exchange]:
    exchange = Exchange(memory_max_bytes=FEW_BYTES)
    yield exchange
    exchange.close()
    assert exchange.shop.errors == []


def held(made: Exchange) -> int:
    """What waits in the runtime, for both sides and for plugins that do not serve yet."""
    return sum(far.worker.calling.channel.backlog_bytes for far in made.ends)


def call_until_busy(made: Exchange, payload: bytes) -> None:
    """Call for many apps until one gets `busy`, since one app may make only 64 calls."""
    for n in range(10):
        far = made.another(f"app:n{n}", "kv")
        for number in range(1, CALLS_MAX + 1):
            far.say("CALL", payload, **call_message(-number, args=[{"$bytes": len(payload)}]))
            for _, said, _ in far.hear():
                assert said["error"]["code"] == "busy"
                assert "memory" in said["error"]["message"]
                return
    raise AssertionError("it never has enough")


def test_a_plugin_that_does_not_read(small: Exchange) -> None:
    """What waits for such a plugin is bounded over all callers; other plugins can be called
    meanwhile."""
    call_until_busy(small, bytes(MAX_PAYLOAD))
    assert FEW_BYTES <= small.calls.memory.size_bytes < FEW_BYTES + 200_000
    assert held(small) < FEW_BYTES + 200_000
    while small.store.hear():
        pass
    small.store.loop.run_once(0)
    assert small.calls.memory.size_bytes == 0
    assert small.begin(-1)


def test_a_plugin_that_is_yet_to_serve(small: Exchange) -> None:
    """What is held for such a plugin is counted, and freed when it is called or the callers
    leave."""
    del small.plugins.workers["store"]
    small.plugins.coming.add("store")
    call_until_busy(small, bytes(MAX_PAYLOAD))
    assert small.calls.memory.size_bytes >= FEW_BYTES
    for far in small.ends[2:]:
        far.worker.drain()
    assert small.calls.memory.size_bytes == 0


def test_pieces_of_arguments_beyond_the_memory(small: Exchange) -> None:
    """Arguments that exceed the memory end their call with `busy`, and the plugin is told of the
    cancellation."""
    number = small.begin(-1, **LARGE)
    call_until_busy(small, bytes(MAX_PAYLOAD))
    small.shop.say("ITEM", PIECE, id=-1)
    assert small.code() == "busy"
    told = []
    while heard := small.store.hear():
        told += [said for kind, said, _ in heard if kind == "CANCEL"]
    assert told == [{"type": "CANCEL", "id": number, "reason": "caller"}]


def test_a_caller_that_does_not_read(small: Exchange) -> None:
    """The caller's stream ends with `busy`, and the plugin is told; others who read are not held
    up."""
    stream = small.begin(-1)
    small.store.say("RESULT", id=stream, ok=True, stream=True)
    for number in itertools.count(2):
        is_backed_up = small.shop.worker.calling.channel.is_backed_up
        small.store.say("RESULT", id=small.begin(-number), ok=True, value="v" * 60_000)
        if is_backed_up:
            break
    assert small.calls.memory.size_bytes > 0
    small.calls.memory.change(FEW_BYTES)
    other = small.another("app:other", "kv")
    other.say("CALL", **call_message(-1))
    small.store.say("RESULT", id=small.called()["id"], **OK)
    assert [kind for kind, _, _ in other.hear()] == ["RESULT"]
    small.store.say("ITEM", PIECE, id=stream, text=10, total=len(PIECE))
    assert small.store.kinds() == ["CANCEL"]
    told = []
    while heard := small.shop.hear():
        told += heard
    assert told[-1][1]["error"]["code"] == "busy"
    small.calls.memory.change(-FEW_BYTES)
    assert small.calls.memory.size_bytes == 0


# Hostile workers


def test_answers_that_nobody_reads(made: Exchange) -> None:
    """A caller that does not read its answers gets `busy`, and uses no memory."""
    value = "v" * 60_000
    for n in itertools.count(1):
        made.call(-n)
        told = made.store.hear()
        if not told:
            break
        made.store.say("RESULT", id=told[0][1]["id"], ok=True, value=value)
    assert CALLS_MAX <= n < CALLS_MAX + 20
    for n in range(1000, 12_000):
        tell(made.shop, "CALL", **call_message(-n))
        if made.shop.why:
            break
    assert "no reading" in made.shop.why


GARBAGE: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "an id of the runtime's": ("CALL", call_message(1), b""),
    "an id that is none": ("CALL", call_message(-1) | {"id": "-2"}, b""),
    "an id of another": ("CALL", call_message(-9), b""),
    "no arguments": ("CALL", {"id": -1, "service": "kv", "method": "get"}, b""),
    "arguments that are none": ("CALL", call_message(-1, args=5), b""),
    "sizes that are none": ("CALL", call_message(-1, text=1, total="5"), b""),
    "too much": ("CALL", call_message(-1, text=1, total=CONTENT_MAX + 1), b""),
    "a line that is too long": ("CALL", call_message(-1, args=["é" * 25_000]), b""),
    "a number that JSON does not have": ("CALL", call_message(-1, args=["NAN"]), b""),
    "a result of nothing": ("RESULT", {"id": 1, **OK}, b""),
    "a result of what it calls": ("RESULT", {"id": -9, **OK}, b""),
    "an argument of no call's": ("ITEM", {"id": -9}, b"x"),
    "an item without an id": ("ITEM", {}, b"x"),
    "the end of what it does not send": ("CANCEL", {"id": 1, "reason": ""}, b""),
    "a notice of an app's": ("NOTICE", {"notice": "forget", "tag": "t"}, b""),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(made: Exchange, name: str) -> None:
    """A worker that says something invalid is given up, and its calls with it."""
    number = made.begin(-9)
    type_, fields, payload = GARBAGE[name]
    raw = wire.encode({"type": type_, **fields, **({"size": len(payload)} if payload else {})})
    made.shop.say_raw(raw.replace(b'"NAN"', b"NaN") + payload)
    made.shop.loop.run_once(0)
    assert made.shop.why
    made.shop.worker.drain()
    assert [(kind, message["id"]) for kind, message, _ in made.store.hear()] == [("CANCEL", number)]
    made.store.say("RESULT", id=number, **OK)
    assert made.is_at_rest


def test_before_it_has_an_app(made: Exchange) -> None:
    """A spare must not call anything."""
    far = FarEnd(9, beside=made.shop)
    made.ends.append(far)
    far.say("CALL", **call_message(-1))
    assert "before INIT" in far.why


def test_too_deep(made: Exchange) -> None:
    """What can be parsed, but is too deep to be encoded again inside a message, raises nothing."""
    depths = range(900, 1000)
    for depth in depths:
        far = made.another("app:deep", "kv")
        line = b'{"type":"CALL","id":-1,"service":"kv","method":"get","kwargs":{},"args":'
        far.say_raw(line + b"[" * depth + b"]" * depth + b"}\n")
        far.worker.drain()
    assert made.shop.errors == []


def test_a_flood_that_changes_nothing(made: Exchange) -> None:
    """Messages may cross the end of their call; too many of them break the protocol."""
    floods: list[dict[str, Any]] = [
        {"type": "WINDOW", "id": -5, "credit": 1},
        {"type": "CANCEL", "id": -5, "reason": ""},
        {"type": "ITEM", "id": -5},
    ]
    for flood in floods:
        far = made.another("app:flood", "kv")
        far.say_raw(wire.encode(flood) * 900)
        for _ in range(10):
            made.shop.loop.run_once(0)
        assert far.why == ""
        far.say_raw(wire.encode(flood) * 200)
        for _ in range(5):
            made.shop.loop.run_once(0)
        assert "change nothing" in far.why


def test_tiny_grants(made: Exchange) -> None:
    """Grants of one byte count as talk, and do not become a flood for the other side."""
    number = made.begin()
    made.store.say("RESULT", id=number, ok=True, stream=True)
    made.store.say("ITEM", PIECE, id=number, text=2, total=MAX_PAYLOAD)
    made.shop.hear()
    made.shop.say_raw(wire.encode({"type": "WINDOW", "id": -1, "credit": 1}) * 2000)
    for _ in range(20):
        made.shop.loop.run_once(0)
    assert "change nothing" in made.shop.why
    assert made.store.hear() == []
    assert STEP_BYTES > 2000


def test_a_plugin_that_answers_with_garbage(made: Exchange) -> None:
    """Such a plugin is given up; its callers get `away`, in the form that their call expects."""
    for garbage in ({"ok": True}, {"ok": True, "value": "é" * 25_000}, {"ok": None}):
        made.call(-1)
        number = made.store.hear()[-1][1]["id"]
        made.store.say("RESULT", id=number, **garbage)
        made.store.loop.run_once(0)
        assert made.store.why
        made.store.worker.drain()
        ((kind, message, _),) = made.shop.hear()
        assert (kind, message["error"]["code"]) == ("RESULT", "away")
        made.store = made.another("plugin:store")
        made.plugins.workers["store"] = made.store.worker


def test_forget(made: Exchange) -> None:
    """A plugin's NOTICE makes the runtime drop that plugin's own verdicts."""
    made.store.say("NOTICE", notice="forget", tag="session:1")
    assert made.forgotten == [("store", "session:1")]
    failed = {"notice": "failed", "hook": "on_apps_changed", "error": "x", "traceback": "y"}
    for fields in (
        {"notice": "other", "tag": "t"},
        {"notice": "forget", "tag": "t" * 257},
        failed | {"hook": "on_anything"},
        failed | {"hook": ["on_apps_changed"]},
        failed | {"error": 5},
        failed | {"traceback": None},
    ):
        far = made.another("plugin:store")
        far.worker.calling.connect(made.calls, Caller("plugin:store", frozenset(), "store"))
        far.say("NOTICE", **fields)
        assert "it sent garbage" in far.why


def test_a_hook_that_nobody_waits_for(made: Exchange) -> None:
    """Where the hook of a notice fails, one entry of the log names plugin, hook and error, and the
    failure is counted; what an app's worker says about hooks is not taken."""
    failed = {"notice": "failed", "hook": "on_apps_changed", "error": "KeyError", "traceback": "t"}
    made.store.say("NOTICE", **failed)
    [entry] = made.sink.records
    assert entry.event == "plugin.hook_failed"
    hook = {"hook": "on_apps_changed", "error": "KeyError", "stack": "t"}
    assert entry.fields == {"plugin": "store", **hook}
    assert made.meters.of("store").hook("on_apps_changed").failures[Failure.RAISED] == 1
    made.shop.say("NOTICE", **failed)
    assert "NOTICE" in made.shop.why
    assert len(made.sink.records) == 1


def test_a_flood_of_hooks_that_nobody_waits_for(made: Exchange) -> None:
    """A plugin's failures are logged as far as its budget goes, and all are counted; one that
    reports far more than it was told of is given up."""
    failed = {"notice": "failed", "hook": "on_apps_changed", "error": "x", "traceback": "t"}
    made.store.process.may_log = False
    made.store.worker.calling.noticed = 10
    line = message("NOTICE", **failed)
    made.store.say_raw(line * 1160)
    counts = made.meters.of("store").hook("on_apps_changed").failures
    while counts[Failure.RAISED] < 1160 and not made.store.why:  # a turn takes its share of them
        made.store.loop.run_once(0)
    assert (counts[Failure.RAISED], made.store.why, made.sink.records) == (1160, "", [])
    made.store.say_raw(line)
    assert "too many messages" in made.store.why
    assert counts[Failure.RAISED] == 1160


@pytest.mark.parametrize("is_plugin", [False, True])
def test_a_flood_of_what_needs_no_request(
    monkeypatch: pytest.MonkeyPatch, *, is_plugin: bool
) -> None:
    """A worker whose calls are all refused, or a plugin that forgets tags all the time, is heard
    more seldom beyond a rate; each is done in the end, and what others say is heard at once."""
    monkeypatch.setattr(calling, "_FREE_AT_ONCE", 100.0)
    monkeypatch.setattr(calling, "_FREE_PER_S", 1000.0)
    made, answers = Exchange(), list[str]()
    far = made.store if is_plugin else made.shop
    if is_plugin:
        lines = [message("NOTICE", notice="forget", tag=f"t{n}") for n in range(200)]
    else:
        calls = (call_message(-n, service="none") for n in range(1, 201))
        lines = [message("CALL", **each) for each in calls]

    def done() -> int:
        answers.extend(made.shop.kinds())
        return len(made.forgotten) if is_plugin else len(answers)

    began = time.monotonic()
    far.sock.sendall(b"".join(lines))
    other = made.another("app:blog", "kv")
    while done() < 150:
        far.loop.run_once(0)
    other.say("CALL", **call_message(-1))
    assert "CALL" in made.store.kinds()
    while done() < 200:
        far.loop.run_once(0.1)
    # The first hundred at once, the others at their rate, but for some that a rest lets pass.
    assert time.monotonic() - began >= 0.05
    assert far.why == ""
    made.close()
    assert made.shop.errors == []


def test_what_is_shown(made: Exchange) -> None:
    """A worker's calls and a call can be shown in a log."""
    made.begin()
    assert repr(made.shop.worker.calling) == "Calling(app:shop, 1 made, 0 taken)"
    assert repr(made.shop.worker.calling.made[-1]) == "ServiceCall(app:shop to store, AWAITED)"


# Invariants of any sequence

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("shop"),
            st.sampled_from(["CALL", "LARGE", "ITEM", "WINDOW", "CANCEL"]),
            st.integers(-3, -1),
        ),
        st.tuples(
            st.just("store"),
            st.sampled_from(["RESULT", "NO", "STREAM", "LARGE", "ITEM", "END", "WINDOW"]),
            st.integers(1, 4),
        ),
        st.tuples(st.just("loop"), st.sampled_from(["late", "change"]), st.just(0)),
    ),
    max_size=25,
)
MESSAGES: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "ITEM": ("ITEM", {}, PIECE),
    "WINDOW": ("WINDOW", {"credit": MAX_PAYLOAD}, b""),
    "CANCEL": ("CANCEL", {"reason": "caller"}, b""),
    "RESULT": ("RESULT", OK, b""),
    "NO": ("RESULT", NO, b""),
    "STREAM": ("RESULT", {"ok": True, "stream": True}, b""),
    "END": ("ITEM", {"end": True}, b""),
}


@given(STEPS)
def test_nothing_is_left(steps: list[tuple[str, str, int]]) -> None:
    """Any order of messages raises nothing, holds no more than the windows allow, and leaves
    nothing behind."""
    made = Exchange()
    try:
        for who, what, number in steps:
            if who == "loop":
                if what == "late":
                    made.shop.loop.timeouts(5.0).expire(made.shop.loop.now + 60)
                made.plugins.change()
                continue
            far = made.shop if who == "shop" else made.store
            if what == "CALL" or (what == "LARGE" and who == "shop"):
                tell(far, "CALL", **call_message(number, **(LARGE if what == "LARGE" else {})))
            elif what == "LARGE":
                tell(far, "RESULT", id=number, ok=True, **LARGE)
            else:
                type_, fields, payload = MESSAGES[what]
                tell(far, type_, payload, id=number, **fields)
            for end in made.ends:
                end.hear()
        for far in made.ends:
            far.worker.drain()
        assert made.is_at_rest
        assert repr(made.calls._left) == "CallBudget({})"
        assert made.calls._waiting == {}
        assert len(made.shop.loop.timeouts(5.0)) == 0
        assert made.shop.errors == []
        assert CALL_WINDOW >= 2 * STEP_BYTES
    finally:
        made.close()


# Counters


def counted(made: Exchange) -> dict[str, int]:
    return {str(kind): n for kind, n in made.meters.of("store").calls.items() if n}


def test_calls_are_counted(made: Exchange) -> None:
    """Calls are counted once each, by their outcome; the caller is not a label."""
    made.store.say("RESULT", id=made.begin(-1), **OK)
    made.store.say("RESULT", id=made.begin(-2), **NO)
    made.begin(-3)
    made.shop.say("CANCEL", id=-3, reason="caller")
    assert counted(made) == {"ok": 1, "error": 1, "given_up": 1}
    made.plugins.workers.clear()
    made.call(-4)
    assert counted(made)["away"] == 1
    made.call(-5, service="gone")
    assert sum(counted(made).values()) == made.meters.of("store").call_seconds.count == 4


def test_calls_that_a_death_ends_are_counted(made: Exchange) -> None:
    """They are counted as away."""
    made.begin()
    made.store.worker.drain()
    assert counted(made) == {"away": 1}
