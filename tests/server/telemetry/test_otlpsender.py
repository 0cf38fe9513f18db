"""Spans and records reach a collector, and a dead or odd one holds up nobody."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from buntime.core.telemetry.otlp import EndedSpan, resource
from buntime.core.telemetry.records import AccessEntry, Level, Record
from buntime.server.telemetry import otlpsender
from buntime.server.telemetry.otlpsender import BATCH_MAX, QUEUE_MAX, Collector, Sender
from tests.support.scriptedserver import Request, Script, answer, serving

PATIENCE_S = 20.0
ENTRY = AccessEntry(1772368496.5, "id", "GET", "a", "/", "shop", None, "w1", 200, 5, 1.0, None)
SPAN = EndedSpan("4b" * 16, "00f0" * 4, "", "", ENTRY, "/shop", "http", "1.1", 0.1, False)
RECORD = Record(1772368496.5, Level.WARN, "app.output", "hello", {"app": "shop"})


class Warnings:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.came = threading.Event()

    def __call__(self, event: str, message: str, /, **fields: object) -> None:
        self.told.append(fields)
        self.came.set()


@contextlib.contextmanager
def sending(url: str, *, timeout_s: float = 5.0) -> Iterator[tuple[Sender, Warnings]]:
    warnings = Warnings()
    sender = Sender(
        Collector(url, (("api-key", "s3cret"),), timeout_s),
        resource({"service.name": "buntime"}),
        {"name": "buntime"},
        warn=warnings,
        delay_s=0.01,
    )
    try:
        yield sender, warnings
    finally:
        sender.close(PATIENCE_S)


class Collected:
    """A collector that answers as told, and records what it has accepted."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.spans = 0
        self.records = 0
        self.requests: list[Request] = []
        self.changed = threading.Condition()

    def __call__(self, request: Request) -> bytes:
        with self.changed:
            reply = self.replies.pop(0) if self.replies else answer({})
            self.requests.append(request)
            body = request.body
            if request.fields.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            told = json.loads(body)
            if b" 200 " in reply.partition(b"\r\n")[0]:
                for kind in told.get("resourceSpans", []):
                    self.spans += len(kind["scopeSpans"][0]["spans"])
                for kind in told.get("resourceLogs", []):
                    self.records += len(kind["scopeLogs"][0]["logRecords"])
            self.changed.notify_all()
            return reply

    def wait_for(self, *, spans: int = 0, records: int = 0, requests: int = 0) -> None:
        with self.changed:
            assert self.changed.wait_for(
                lambda: (
                    self.spans >= spans
                    and self.records >= records
                    and len(self.requests) >= requests
                ),
                PATIENCE_S,
            )


def collector(script: Script) -> contextlib.AbstractContextManager[Any]:
    return serving(script)


def test_batches() -> None:
    """Spans and records are sent in batches, with the fields that the collector expects,
    compressed."""
    taken = Collected()
    with collector(taken) as server, sending(f"{server.url}/otel") as (sender, warnings):
        for _ in range(BATCH_MAX + 10):
            sender.put_span(SPAN)
        sender.put_logs([RECORD, ENTRY])
        taken.wait_for(spans=BATCH_MAX + 10, records=2)
    paths = {request.target for request in taken.requests}
    assert paths == {"/otel/v1/traces", "/otel/v1/logs"}
    first = taken.requests[0]
    assert (first.method, first.fields["api-key"]) == ("POST", "s3cret")
    assert first.fields["content-type"] == "application/json"
    assert first.fields["content-encoding"] == "gzip"
    assert warnings.told == []
    assert (sender.sent, sender.lost) == (BATCH_MAX + 12, 0)


def test_last_ones() -> None:
    """What is left at the end is sent before the sender stops."""
    taken = Collected()
    with collector(taken) as server:
        sender = Sender(Collector(server.url), resource({}), {}, warn=Warnings(), delay_s=60)
        sender.put_span(SPAN)
        sender.close(PATIENCE_S)
        assert taken.spans == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_tried_again(status: int) -> None:
    """A batch that is refused for now is sent again, when the collector says."""
    taken = Collected(answer({}, status, {"Retry-After": "0"}))
    with collector(taken) as server, sending(server.url) as (sender, _):
        sender.put_span(SPAN)
        taken.wait_for(spans=1, requests=2)
    assert (sender.sent, sender.lost) == (1, 0)
    assert taken.requests[0].body == taken.requests[1].body


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 500])
def test_refused(status: int) -> None:
    """A batch that is refused for good is lost and reported; the next batch is tried."""
    taken = Collected(answer({}, status))
    with collector(taken) as server, sending(server.url) as (sender, warnings):
        sender.put_span(SPAN)
        assert warnings.came.wait(PATIENCE_S)
        sender.put_span(SPAN)
        taken.wait_for(spans=1)
    [told] = warnings.told
    assert (told["lost"], told["error"]) == (1, f"it answered with {status}")
    assert "s3cret" not in str(told)
    assert (sender.sent, sender.lost) == (1, 1)


def test_taken_in_part() -> None:
    """Spans that a collector rejects from an accepted batch are counted."""
    said = {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}
    with collector(Collected(answer(said))) as server, sending(server.url) as (sender, warnings):
        for _ in range(BATCH_MAX):
            sender.put_span(SPAN)
        assert warnings.came.wait(PATIENCE_S)
    assert (warnings.told[0]["error"], warnings.told[0]["lost"]) == ("too old", 2)


@pytest.mark.parametrize("odd", [b"SSH-2.0\r\n", b"", b"HTTP/1.1 200 OK\r\n\r\n[[", answer(["x"])])
def test_odd_collectors(odd: bytes) -> None:
    """Whatever the answer is, the sender continues."""
    taken = Collected(odd)
    with collector(taken) as server, sending(server.url) as (sender, _):
        sender.put_span(SPAN)
        taken.wait_for(requests=1)
        sender.put_logs([RECORD])
        taken.wait_for(records=1)


def test_dead_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a dead collector; it is logged once a minute, and a bounded amount is
    kept."""
    monkeypatch.setattr(otlpsender, "pause_s", lambda *_, **__: 0.0)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with sending(f"http://127.0.0.1:{port}") as (sender, warnings):
        for _ in range(3 * QUEUE_MAX):
            sender.put_span(SPAN)
        assert warnings.came.wait(PATIENCE_S)
        assert sender.lost >= QUEUE_MAX - BATCH_MAX
        assert "refused" in warnings.told[0]["error"]
        assert len(warnings.told) == 1


def test_batch_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is too old makes room for the next one."""
    monkeypatch.setattr(otlpsender, "GIVE_UP_S", -1.0)
    taken = Collected(answer({}, 503))
    with collector(taken) as server, sending(server.url) as (sender, warnings):
        sender.put_span(SPAN)
        assert warnings.came.wait(PATIENCE_S)
        assert sender.lost == 1
