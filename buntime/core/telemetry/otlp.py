"""Traces and logs in OTLP's JSON form, by opentelemetry-proto 1.x.

Ids are hex digits and 64-bit numbers are texts, as "JSON Protobuf Encoding" in the specification
says. Attribute names are those of the semantic conventions for HTTP; names for anything else begin
with "buntime.".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from buntime.core.telemetry.records import AccessEntry, Level, Record
from buntime.core.values.tuples import NamedTuple

Json = dict[str, Any]

TRACES_PATH, LOGS_PATH = "/v1/traces", "/v1/logs"
_SERVER = 2  # SPAN_KIND_SERVER
_ERROR = 2  # STATUS_CODE_ERROR
_SAMPLED = 1
# Other methods would make an unlimited number of span names.
_METHODS = frozenset("GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY".split())
_SEVERITIES = {Level.DEBUG: 5, Level.INFO: 9, Level.WARN: 13, Level.ERROR: 17}
_TEXT_MAX_CHARS = 4096


class EndedSpan(NamedTuple):
    """An answered request, in the words of its access line."""

    trace_id: str
    span_id: str
    parent_id: str
    state: str
    entry: AccessEntry
    base: str  # the app's, "/shop"; "" for none
    scheme: str
    protocol: str  # "1.1"
    queue_s: float | None  # None if no worker got it
    is_cold: bool
    boot_ms: float | None = None  # of a worker that was cold; None for one that loaded nothing
    job: str = ""  # the job that made the request


def resource(attributes: Mapping[str, str | int]) -> Json:
    """The sender of this data."""
    return {"attributes": _attributes(attributes)}


def write_spans(spans: Sequence[EndedSpan], of: Json, scope: Json) -> bytes:
    """An ExportTraceServiceRequest."""
    inner = {"scope": scope, "spans": [_span(span) for span in spans]}
    return _dump({"resourceSpans": [{"resource": of, "scopeSpans": [inner]}]})


def write_logs(entries: Sequence[Record | AccessEntry], of: Json, scope: Json) -> bytes:
    """An ExportLogsServiceRequest."""
    inner = {"scope": scope, "logRecords": [_log_record(entry) for entry in entries]}
    return _dump({"resourceLogs": [{"resource": of, "scopeLogs": [inner]}]})


def _dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _span(span: EndedSpan) -> Json:
    entry = span.entry
    end_ns = int(entry.time * 1e9)
    method = entry.method if entry.method in _METHODS else "_OTHER"
    word = method if method != "_OTHER" else "HTTP"
    fields: Json = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "flags": _SAMPLED,
        "name": f"{word} {span.base or '/'}" if entry.app else word,
        "kind": _SERVER,
        "startTimeUnixNano": str(end_ns - int(entry.ms * 1e6)),
        "endTimeUnixNano": str(end_ns),
        "attributes": _attributes(
            {
                "http.request.method": method,
                "http.request.method_original": entry.method if method == "_OTHER" else None,
                "http.response.status_code": entry.status,
                "http.response.body.size": entry.bytes,
                "http.route": (span.base or "/") if entry.app else None,
                "url.scheme": span.scheme,
                "url.path": entry.path.partition("?")[0],
                **_address(entry.host),
                "client.address": entry.client,
                "network.protocol.version": span.protocol,
                "error.type": str(entry.status) if entry.status >= 500 else None,
                **_origin(entry),
                "buntime.queue_ms": None if span.queue_s is None else span.queue_s * 1000,
                "buntime.cold_start": None if span.queue_s is None else span.is_cold,
                "buntime.boot_ms": span.boot_ms,
                "buntime.cron_job": span.job or None,
            }
        ),
        "status": {"code": _ERROR} if entry.status >= 500 else {},
    }
    if span.parent_id:
        fields["parentSpanId"] = span.parent_id
    if span.state:
        fields["traceState"] = span.state
    return fields


def _log_record(entry: Record | AccessEntry) -> Json:
    time_ns = str(int(entry.time * 1e9))
    record: Json = {"timeUnixNano": time_ns, "observedTimeUnixNano": time_ns}
    if isinstance(entry, AccessEntry):
        record |= {"severityNumber": _SEVERITIES[Level.INFO], "severityText": "INFO"}
        record |= {"eventName": "request.access", "body": {"stringValue": _access_text(entry)}}
        record["attributes"] = _attributes(
            {
                "http.request.method": entry.method,
                "http.response.status_code": entry.status,
                "http.response.body.size": entry.bytes,
                "url.path": entry.path.partition("?")[0],
                **_address(entry.host),
                "client.address": entry.client,
                "buntime.ms": entry.ms,
                **_origin(entry),
            }
        )
        if entry.trace_id:
            record |= {"traceId": entry.trace_id, "spanId": entry.span_id}
        return record
    level = entry.level
    record |= {"severityNumber": _SEVERITIES[level], "severityText": level.word.upper()}
    record |= {"eventName": entry.event, "body": {"stringValue": _text(entry.message)}}
    record["attributes"] = _attributes({f"buntime.{key}": v for key, v in entry.fields.items()})
    return record


def _access_text(entry: AccessEntry) -> str:
    return _text(f"{entry.method} {entry.path.partition('?')[0]} {entry.status}")


def _origin(entry: AccessEntry) -> Json:
    return {
        "buntime.app": entry.app,
        "buntime.version": entry.version,
        "buntime.worker": entry.worker,
        "buntime.request_id": entry.request_id,
    }


def _address(host: str) -> Json:
    """`"shop.example.com:8443"` -> its name and its port."""
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit() and not (name.count(":") and name[-1:] != "]"):
        return {"server.address": name.strip("[]"), "server.port": int(port[:5])}
    return {"server.address": host.strip("[]") or None}


def _attributes(values: Mapping[str, object]) -> list[Json]:
    """The attributes that have a value."""
    return [
        {"key": key, "value": _value(value)} for key, value in values.items() if value is not None
    ]


def _value(value: object) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return {"intValue": str(value)}
    if isinstance(value, float) and value - value == 0:  # neither NaN nor infinite
        return {"doubleValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(each) for each in value[:100]]}}
    return {"stringValue": _text(value)}


def _text(value: object) -> str:
    """Limited in length, and without half of a surrogate pair, which UTF-8 cannot encode."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001  # an object's own code may raise anything
        text = f"<{type(value).__name__} without repr>"
    return text[:_TEXT_MAX_CHARS].encode("utf-8", "backslashreplace").decode("utf-8")
