"""What a collector makes of OTLP in JSON: read with opentelemetry-proto's own messages."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Told = dict[str, Any]
_IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}  # hex digits
_TEXTS = re.compile(r".*(UnixNano|intValue)")  # 64-bit numbers
_NUMBERS = ("kind", "code", "severityNumber", "flags")


def check_traces(text: bytes | str) -> Told:
    """The request as JSON; raises if a field is not in the message, or has a wrong form."""
    return _checked(text, ExportTraceServiceRequest())


def check_logs(text: bytes | str) -> Told:
    """The same for log records."""
    return _checked(text, ExportLogsServiceRequest())


def _checked(text: bytes | str, message: Message) -> Told:
    told: Told = json.loads(text)
    Parse(json.dumps(_for_protobuf(told)), message, ignore_unknown_fields=False)
    return told


def _for_protobuf(value: Any, name: str = "") -> Any:
    """The value as protobuf's own JSON has it. OTLP differs in three things, which are checked
    here: ids are hex digits and not base64, enums are numbers, and 64-bit numbers are strings."""
    if isinstance(value, dict):
        return {each: _for_protobuf(part, each) for each, part in value.items()}
    if isinstance(value, list):
        return [_for_protobuf(part) for part in value]
    if name in _IDS:
        assert re.fullmatch(r"[0-9a-f]+", value), name
        assert len(value) == _IDS[name], name
        return base64.b64encode(bytes.fromhex(value)).decode()
    if _TEXTS.fullmatch(name):
        assert isinstance(value, str), name
    if name in _NUMBERS:
        assert type(value) is int, name
    return value
