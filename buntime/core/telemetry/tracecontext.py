"""W3C Trace Context: `traceparent` and `tracestate` of a request, and whether it is sampled.

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
                 version, trace, span of the caller, flags

Anybody may name a trace: that is no more than a word in a log. What a client says about sampling is
only accepted from trusted proxies, because it decides what the collector has to store.
"""

import re
from collections.abc import Iterable

from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
FIELDS = frozenset((TRACEPARENT, TRACESTATE))
# A later version may add something unknown after the flags (3.2.4).
_PARENT = regex(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 1
_STATE_MAX_CHARS = 512  # that must be passed on (3.3.1.5)


class TraceContext(NamedTuple):
    """What a request says about the trace that it belongs to."""

    trace_id: str  # 32 hex digits
    parent_id: str  # 16, of the caller's span
    is_sampled: bool
    state: str = ""


def read_context(fields: Iterable[tuple[str, str]]) -> TraceContext | None:
    """The context in a request's header fields; None if there is none that is well-formed."""
    parents: list[str] = []
    states: list[str] = []
    for name, value in fields:
        if name == TRACEPARENT:
            parents.append(value)
        elif name == TRACESTATE:
            states.append(value)
    match = _PARENT.fullmatch(parents[0].strip(" \t")) if len(parents) == 1 else None
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    is_known = version != "ff" and not (version == "00" and more)
    if not is_known or not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    state = ",".join(states)
    if len(state) > _STATE_MAX_CHARS or not state.isprintable():
        state = ""
    return TraceContext(trace_id, parent_id, bool(int(flags, 16) & _SAMPLED), state)


class Sampler(NamedTuple):
    """Decides by a trace's id, so that everybody with the same share decides alike."""

    name: str = "parentbased_always_on"  # one of the values of OTEL_TRACES_SAMPLER
    share: float = 1.0

    def takes(self, trace_id: str, parent: bool | None) -> bool:
        """`parent`: what the caller has decided; None if nobody has, or the caller is not
        trusted."""
        root = self.name.removeprefix("parentbased_")
        if parent is not None and root != self.name:
            return parent
        if root == "traceidratio":
            return int(trace_id[16:], 16) < self.share * 2**64
        return root == "always_on"


class Span:
    """A request in progress, as one step of a trace."""

    __slots__ = (
        "is_sampled",
        "parent_id",
        "queue_s",
        "span_id",
        "state",
        "trace_id",
    )

    def __init__(
        self, context: TraceContext | None, *, trusts: bool, sampler: Sampler, ids: bytes
    ) -> None:
        """`ids` are 24 random bytes; `trusts`: may the caller decide whether it is sampled?"""
        digits = ids.hex()
        self.span_id = digits[:16]
        self.trace_id = digits[16:48] if context is None else context.trace_id
        self.parent_id = "" if context is None else context.parent_id
        self.state = "" if context is None else context.state
        decided = context.is_sampled if context is not None and trusts else None
        self.is_sampled = sampler.takes(self.trace_id, decided)
        self.queue_s: float | None = None  # once a worker has it

    def __repr__(self) -> str:
        return f"Span({self.trace_id}, {self.span_id}, {'on' if self.is_sampled else 'off'})"

    def on_assign(self, waited_s: float) -> None:
        """A worker gets the request."""
        self.queue_s = waited_s

    def fields(self) -> list[tuple[str, str]]:
        """The header fields for the app."""
        flags = "01" if self.is_sampled else "00"
        fields = [(TRACEPARENT, f"00-{self.trace_id}-{self.span_id}-{flags}")]
        if self.state:
            fields.append((TRACESTATE, self.state))
        return fields
