"""What is sent is OTLP in JSON: opentelemetry-proto's own messages accept every field."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf.json_format import ParseError

from buntime.core.telemetry.otlp import EndedSpan, resource, write_logs, write_spans
from buntime.core.telemetry.records import AccessEntry, Level, Record
from tests.support.otlp import check_logs, check_traces

NOON = 1772368496.5
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ENTRY = AccessEntry(
    time=NOON,
    request_id="5f0c1d2e",
    method="GET",
    host="shop.example.com:8443",
    path="/shop/cart?token=secret",
    app="shop",
    version="1.0.0",
    worker="w3",
    status=200,
    bytes=512,
    ms=250.0,
    client="203.0.113.7",
    trace_id=TRACE,
    span_id=SPAN,
)
ENDED = EndedSpan(TRACE, SPAN, "", "", ENTRY, "/shop", "https", "1.1", 0.125, True, 310.5, "clean")
OF, SCOPE = resource({"service.name": "buntime", "process.pid": 7}), {"name": "buntime"}


def attributes(things: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in things}


def span_of(ended: EndedSpan) -> dict[str, Any]:
    told = check_traces(write_spans([ended], OF, SCOPE))
    [span] = told["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert isinstance(span, dict)
    return span


def record_of(entry: Record | AccessEntry) -> dict[str, Any]:
    told = check_logs(write_logs([entry], OF, SCOPE))
    [record] = told["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert isinstance(record, dict)
    return record


def test_span() -> None:
    """A request is a server span by the semantic conventions of HTTP, without its query."""
    span = span_of(ENDED)
    assert {key: span[key] for key in ("traceId", "spanId", "name", "kind", "status")} == {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "GET /shop",
        "kind": 2,
        "status": {},
    }
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 250_000_000
    assert attributes(span["attributes"]) == {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "http.response.body.size": "512",
        "http.route": "/shop",
        "url.scheme": "https",
        "url.path": "/shop/cart",
        "server.address": "shop.example.com",
        "server.port": "8443",
        "client.address": "203.0.113.7",
        "network.protocol.version": "1.1",
        "buntime.app": "shop",
        "buntime.version": "1.0.0",
        "buntime.worker": "w3",
        "buntime.request_id": "5f0c1d2e",
        "buntime.queue_ms": 125.0,
        "buntime.cold_start": True,
        "buntime.boot_ms": 310.5,
        "buntime.cron_job": "clean",
    }
    assert "parentSpanId" not in span


def test_span_of_a_trace() -> None:
    """A span has its parent and the vendors' trace state."""
    span = span_of(ENDED._replace(parent_id=SPAN, state="a=1"))
    assert (span["parentSpanId"], span["traceState"]) == (SPAN, "a=1")


def test_span_that_failed() -> None:
    """A status from 500 on is an error, a client's error is none."""
    failed = span_of(ENDED._replace(entry=ENTRY._replace(status=502)))
    assert failed["status"] == {"code": 2}
    assert attributes(failed["attributes"])["error.type"] == "502"
    assert span_of(ENDED._replace(entry=ENTRY._replace(status=404)))["status"] == {}


def test_span_of_no_app() -> None:
    """Without an app a span is named by its method alone; unknown methods share one name."""
    entry = ENTRY._replace(app=None, version=None, worker=None, method="BREW")
    span = span_of(ENDED._replace(entry=entry, base="", queue_s=None, boot_ms=None, job=""))
    assert span["name"] == "HTTP"
    told = attributes(span["attributes"])
    assert (told["http.request.method"], told["http.request.method_original"]) == ("_OTHER", "BREW")
    unknown = {"buntime.app", "http.route", "buntime.queue_ms", "buntime.boot_ms"}
    assert not (unknown | {"buntime.cron_job"}) & set(told)


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("a", "a", None),
        ("a:80", "a", "80"),
        ("[::1]:80", "::1", "80"),
        ("[::1]", "::1", None),
        ("::1", "::1", None),
        ("", None, None),
        ("a:999999999999999999999", "a", "99999"),
    ],
)
def test_addresses(host: str, address: str | None, port: str | None) -> None:
    """A server address is a host name and a port."""
    told = attributes(span_of(ENDED._replace(entry=ENTRY._replace(host=host)))["attributes"])
    assert (told.get("server.address"), told.get("server.port")) == (address, port)


def test_access_record() -> None:
    """An access line becomes a record in its trace."""
    record = record_of(ENTRY)
    assert (record["traceId"], record["spanId"], record["severityNumber"]) == (TRACE, SPAN, 9)
    assert record["body"] == {"stringValue": "GET /shop/cart 200"}
    assert "secret" not in json.dumps(record)
    assert "traceId" not in record_of(ENTRY._replace(trace_id="", span_id=""))


@pytest.mark.parametrize(
    ("level", "number"),
    [(Level.DEBUG, 5), (Level.INFO, 9), (Level.WARN, 13), (Level.ERROR, 17)],
)
def test_record(level: Level, number: int) -> None:
    """A log record keeps its fields of any type."""
    fields = {
        "app": "shop",
        "count": 3,
        "huge": 2**70,
        "share": 0.5,
        "odd": math.nan,
        "yes": True,
        "none": None,
        "names": ["a", 1],
        "error": ValueError("x"),
        "half": "\ud800",
        "long": "x" * 10_000,
    }
    record = record_of(Record(NOON, level, "app.failed", "failed\n\x1b", fields))
    assert (record["severityNumber"], record["eventName"]) == (number, "app.failed")
    assert record["body"] == {"stringValue": "failed\n\x1b"}
    told = attributes(record["attributes"])
    assert (told["buntime.app"], told["buntime.count"]) == ("shop", "3")
    assert told["buntime.error"] == "ValueError('x')"
    assert len(told["buntime.long"]) < 5000
    assert "buntime.none" not in told


@pytest.mark.parametrize(
    "wrong",
    [
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"nmae": "x"}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 3}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "AAAA"}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": "SPAN_KIND_SERVER"}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 3}]}]}]},
        {"resourceLogs": []},
    ],
)
def test_what_is_none(wrong: dict[str, object]) -> None:
    """The check finds what a collector need not accept."""
    with pytest.raises((ParseError, AssertionError)):
        check_traces(json.dumps(wrong))
