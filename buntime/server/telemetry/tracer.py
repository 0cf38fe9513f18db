"""Makes a span for each request, if there is a collector for them.

A request that reaches a worker has its span from then on, so that the app is told about it; any
other gets one when it has been answered. Without a tracer nothing here is called.
"""

import os
from collections.abc import Callable, Iterable

from buntime.core.apps.app import App
from buntime.core.pool.boot import Boot
from buntime.core.telemetry.otlp import EndedSpan
from buntime.core.telemetry.records import AccessEntry
from buntime.core.telemetry.tracecontext import FIELDS, Sampler, Span, read_context
from buntime.core.values.protocols import Protocol

_ID_BYTES = 24  # of a trace and of a span


class _Head(Protocol):
    @property
    def version(self) -> str: ...


class _Sender(Protocol):
    @property
    def is_forwarded(self) -> bool: ...
    @property
    def scheme(self) -> str: ...


class Traced(Protocol):
    """The parts of a request that its span describes."""

    headers: tuple[tuple[str, str], ...]
    base: str
    boot: Boot | None
    job: str

    @property
    def app(self) -> App | None: ...
    @property
    def head(self) -> _Head: ...
    @property
    def sender(self) -> _Sender: ...
    def withhold(self, is_secret: Callable[[tuple[str, str]], bool]) -> None: ...
    def tell(self, fields: Iterable[tuple[str, str]]) -> None: ...


class Tracer:
    """On the loop's thread."""

    def __init__(
        self,
        sampler: Sampler,
        put: Callable[[EndedSpan], None],
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`put` gets each span that is sampled, and must not wait."""
        self._sampler = sampler
        self._put = put
        self._random_bytes = random_bytes

    def begin(self, request: Traced) -> Span:
        """The span of a request."""
        return Span(
            read_context(request.headers),
            trusts=request.sender.is_forwarded,
            sampler=self._sampler,
            ids=self._random_bytes(_ID_BYTES),
        )

    def hand_over(self, request: Traced, waited_s: float) -> Span:
        """The same for one that a worker gets now: the worker is told about the span."""
        span = self.begin(request)
        span.on_assign(waited_s)
        if any(name in FIELDS for name, _ in request.headers):
            request.withhold(_is_of_traces)
        request.tell(span.fields())
        return span

    def end(self, request: Traced, span: Span, entry: AccessEntry) -> None:
        """The request was answered."""
        if span.is_sampled:
            self._put(
                EndedSpan(
                    span.trace_id,
                    span.span_id,
                    span.parent_id,
                    span.state,
                    entry,
                    request.base,
                    request.sender.scheme,
                    request.head.version,
                    span.queue_s,
                    request.boot is not None,
                    None if request.boot is None else request.boot.took_ms,
                    request.job,
                )
            )


def _is_of_traces(field: tuple[str, str]) -> bool:
    return field[0] in FIELDS
