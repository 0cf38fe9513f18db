"""A request has its span, which its app is told, and nothing is done if tracing is off."""

from __future__ import annotations

from typing import cast

from buntime.core.telemetry.otlp import EndedSpan
from buntime.core.telemetry.tracecontext import Sampler
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.assignment import Assignment
from buntime.server.telemetry.tracer import Tracer
from buntime.wire import Decoder
from tests.support.callcount import count_calls
from tests.support.exchanges import FakeClient, FakeResponder

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLS_BEFORE = 37  # of giving a request to a worker and answering it, before there was tracing
GOOD = f"00-{TRACE}-{PARENT}-00"


def begin(client: FakeClient, *fields: str) -> Exchange:
    lines = "".join(f"{field}\r\n" for field in fields)
    return client.request(f"GET /shop/ HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())


def assign(exchange: Exchange) -> list[list[str]]:
    """Give the request to a worker; returns the trace fields that its app gets."""
    responder = cast(Assignment, FakeResponder(exchange))
    line, _ = exchange.assign(responder, "w1", 1)
    ((told, _),) = Decoder().feed(line)
    return [field for field in told["headers"] if field[0].startswith("trace")]


class Traced:
    """A client whose requests are traced."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.spans: list[EndedSpan] = []
        self.client = FakeClient()
        ids = iter(range(1, 100))
        self.client.fake_service.tracer = Tracer(
            sampler or Sampler(), self.spans.append, lambda count: bytes([next(ids)]) * count
        )


def test_untouched_without_a_tracer() -> None:
    """Without a tracer apps get the clients' fields unchanged, whatever they are."""
    for parent in (GOOD, "nonsense"):
        exchange = begin(FakeClient(), f"traceparent: {parent}", "tracestate: a=1")
        assert assign(exchange) == [["traceparent", parent], ["tracestate", "a=1"]]


def test_app_is_told() -> None:
    """The app's spans are children of the runtime's span, in the client's trace."""
    traced = Traced()
    exchange = begin(traced.client, f"traceparent: {GOOD}", "tracestate: a=1")
    traced.client.fake_service.loop.now += 0.5
    assert assign(exchange) == [
        ["traceparent", f"00-{TRACE}-{'01' * 8}-01"],
        ["tracestate", "a=1"],
    ]
    exchange.release()
    exchange.respond(200, [], b"hello")
    [span] = traced.spans
    assert (span.trace_id, span.parent_id, span.span_id) == (TRACE, PARENT, "01" * 8)
    assert (span.queue_s, span.entry.status, span.entry.trace_id) == (0.5, 200, TRACE)
    [entry] = traced.client.fake_service.entries
    assert (entry.trace_id, entry.span_id) == (TRACE, "01" * 8)


def test_new_trace() -> None:
    """Missing or malformed fields start a new trace; malformed ones are not passed on."""
    traced = Traced()
    for number, fields in enumerate([(), ("traceparent: x", "tracestate: a=1")], 1):
        [(name, value)] = assign(begin(traced.client, *fields))
        assert name == "traceparent"
        assert value == f"00-{f'{number:02}' * 16}-{f'{number:02}' * 8}-01"


def test_second_worker() -> None:
    """A request that is given to a second worker keeps its span."""
    traced = Traced()
    exchange = begin(traced.client)
    first = assign(exchange)
    exchange.take_back()
    assert assign(exchange) == first


def test_no_worker() -> None:
    """A request that reaches no worker also has a span, once it is answered."""
    traced = Traced()
    begin(traced.client, f"traceparent: {GOOD}").respond(404, [], b"")
    [span] = traced.spans
    assert (span.trace_id, span.queue_s, span.entry.status) == (TRACE, None, 404)


def test_not_sampled() -> None:
    """ "Not sampled" is passed on, and nothing is sent."""
    traced = Traced(Sampler("always_off"))
    exchange = begin(traced.client)
    [(_, value)] = assign(exchange)
    exchange.release()
    exchange.respond(200, [], b"")
    assert value.endswith("-00")
    assert traced.spans == []


def test_cost() -> None:
    """Without a tracer a request makes no more calls than before there was tracing."""

    def answer(client: FakeClient) -> int:
        exchange = begin(client)
        responder = cast(Assignment, FakeResponder(exchange))

        def work() -> None:
            exchange.assign(responder, "w1", 1)
            exchange.release()
            exchange.respond(200, [], b"hello")

        return count_calls(work)

    client = FakeClient()
    for _ in range(2):
        answer(client)
    assert answer(client) <= CALLS_BEFORE
    assert answer(Traced().client) > CALLS_BEFORE
