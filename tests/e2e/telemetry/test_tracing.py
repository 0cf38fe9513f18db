"""Requests reach a collector as spans, and apps get the trace that they belong to."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.telemetry.test_otlp import attributes
from tests.support.client import fetch
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.otlp import check_logs, check_traces
from tests.support.scriptedserver import Request, answer, serving

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
APP = """
import json
from buntime import Response

def fetch(request):
    print("seen")
    return Response(json.dumps({name: value for name, value in request.headers.items()}))
"""


class Taken:
    """What a collector has received."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.spans: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []
        self.resources: list[dict[str, Any]] = []

    def take(self, request: Request) -> bytes:
        body = request.body
        if request.fields.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        is_traces = request.target == "/v1/traces"
        told = check_traces(body) if is_traces else check_logs(body)
        with self._lock:
            if is_traces:
                [each] = told["resourceSpans"]
                self.spans += each["scopeSpans"][0]["spans"]
            else:
                [each] = told["resourceLogs"]
                self.records += each["scopeLogs"][0]["logRecords"]
            self.resources.append(attributes(each["resource"]["attributes"]))
        return answer({})

    def span(self, request_id: str) -> dict[str, Any] | None:
        with self._lock:
            for span in self.spans:
                if attributes(span["attributes"])["buntime.request_id"] == request_id:
                    return span
        return None


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "shop@1.2.0", {"app.py": APP}, ttl=600)
    return folder


@pytest.fixture(scope="module")
def traced(apps: Path) -> Iterator[tuple[Runtime, Taken]]:
    taken = Taken()
    with serving(taken.take) as server:
        env = {
            "RUNTIME_ENV": "production",
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_SERVICE_NAME": "edge",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        with running(apps, env=env) as runtime:
            yield runtime, taken


def seen(runtime: Runtime, **fields: str) -> tuple[dict[str, str], str]:
    """The header fields of a request as the app saw them, and the request's id."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    told = fetch(runtime, "/shop/cart?token=secret", headers=headers)
    return json.loads(told.body), told.headers["x-request-id"]


def test_request(traced: tuple[Runtime, Taken]) -> None:
    """The app's trace is the client's, below the runtime's span, which the collector gets."""
    runtime, taken = traced
    told, request_id = seen(runtime, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=1")
    wait_until(lambda: taken.span(request_id))
    span = taken.span(request_id)
    assert span is not None
    assert told["traceparent"] == f"00-{TRACE}-{span['spanId']}-01"
    assert told["tracestate"] == "a=1"
    assert (span["traceId"], span["parentSpanId"]) == (TRACE, PARENT)
    about = attributes(span["attributes"])
    assert (about["buntime.app"], about["buntime.version"]) == ("shop", "1.2.0")
    assert (about["http.route"], about["url.path"]) == ("/shop", "/shop/cart")
    assert 0 <= about["buntime.queue_ms"] < 60_000
    boots = [attributes(each["attributes"]).get("buntime.boot_ms") for each in taken.spans]
    assert [each for each in boots if each is not None and each > 0]  # of the first, whichever
    assert taken.resources[0]["service.name"] == "edge"
    assert taken.resources[0]["deployment.environment.name"] == "test"
    access = runtime.wait_for_record("request.access", request_id=request_id)
    assert (access["trace_id"], access["span_id"]) == (TRACE, span["spanId"])


def test_log(traced: tuple[Runtime, Taken]) -> None:
    """What apps print, and access lines with their trace, are records."""
    runtime, taken = traced
    seen(runtime, traceparent=f"00-{TRACE}-{PARENT}-01")
    wait_until(lambda: any(each.get("traceId") == TRACE for each in taken.records))
    wait_until(lambda: any(each["body"] == {"stringValue": "seen"} for each in taken.records))
    assert "secret" not in json.dumps(taken.records)


def test_collector_that_is_away(apps: Path) -> None:
    """Requests are served, and the log says once what is wrong."""
    with serving(lambda _: b"") as server:
        url = server.url
    with running(apps, env={"OTEL_EXPORTER_OTLP_ENDPOINT": url}) as runtime:
        for _ in range(20):
            assert fetch(runtime, "/shop/").status == 200
        record = runtime.wait_for_record("otlp.failed", endpoint=url)
        assert "refused" in record["error"]


def test_without_collector(apps: Path) -> None:
    """A client's trace fields reach the app unchanged; nothing is added."""
    with running(apps, env={"OTEL_SERVICE_NAME": "shops"}) as runtime:
        for parent in ("nonsense", f"00-{TRACE}-{PARENT}-00"):
            told, _ = seen(runtime, traceparent=parent, tracestate="a=1")
            assert (told["traceparent"], told["tracestate"]) == (parent, "a=1")
        assert "traceparent" not in seen(runtime)[0]
