"""What requests say about traces is read by the W3C rules, and believed only as far as trusted."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.telemetry.tracecontext import Sampler, Span, TraceContext, read_context

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


def read(*parents: str, state: tuple[str, ...] = ()) -> TraceContext | None:
    fields = [("host", "x"), *(("traceparent", parent) for parent in parents)]
    return read_context([*fields, *(("tracestate", each) for each in state)])


def test_context() -> None:
    """A context has a trace, a parent, and whether it is sampled."""
    assert read(GOOD) == TraceContext(TRACE, PARENT, True)
    assert read(f"00-{TRACE}-{PARENT}-02") == TraceContext(TRACE, PARENT, False)
    assert read(f" {GOOD}\t") == TraceContext(TRACE, PARENT, True)
    assert read(f"cc-{TRACE}-{PARENT}-01-what-is-to-come") == TraceContext(TRACE, PARENT, True)


@pytest.mark.parametrize(
    "parents",
    [
        (),
        ("",),
        (GOOD, GOOD),
        (GOOD.upper(),),
        (f"ff-{TRACE}-{PARENT}-01",),
        (f"{GOOD}-more",),
        (f"00-{'0' * 32}-{PARENT}-01",),
        (f"00-{TRACE}-{'0' * 16}-01",),
        (f"00-{TRACE}-{PARENT}-1",),
        (f"00-{TRACE}-{PARENT}-0\n1",),
        (f"00-{TRACE}-{PARENT}",),
        (f"00-{TRACE[:-1]}g-{PARENT}-01",),
        (f"cc-{TRACE}-{PARENT}-01.more",),
        ("\u0660" * 55,),
    ],
)
def test_no_context(parents: tuple[str, ...]) -> None:
    """A malformed header is ignored."""
    assert read(*parents) is None


def test_state() -> None:
    """The state is one list, and is dropped if it is too long or malformed."""
    context = read(GOOD, state=("a=1", "b=2"))
    assert context is not None
    assert context.state == "a=1,b=2"
    for odd in ("a=" + "x" * 600, "a=\x1b"):
        context = read(GOOD, state=(odd,))
        assert context is not None
        assert context.state == ""


@given(st.text(max_size=80))
def test_anything(text: str) -> None:
    """Whatever comes in, what goes out is well-formed."""
    span = Span(read(text), trusts=True, sampler=Sampler(), ids=bytes(range(1, 25)))
    [(_, told)] = span.fields()
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", told)


def test_span_of_a_trace() -> None:
    """A span is a child of its parent, with an id of its own."""
    context = TraceContext(TRACE, PARENT, True, "a=1")
    span = Span(context, trusts=True, sampler=Sampler(), ids=bytes(range(1, 25)))
    assert (span.trace_id, span.parent_id, span.span_id) == (TRACE, PARENT, "0102030405060708")
    assert span.fields() == [
        ("traceparent", f"00-{TRACE}-0102030405060708-01"),
        ("tracestate", "a=1"),
    ]


def test_first_span() -> None:
    """Without a context there is a new trace."""
    span = Span(None, trusts=False, sampler=Sampler("always_off"), ids=bytes(range(1, 25)))
    assert span.fields() == [("traceparent", f"00-{bytes(range(9, 25)).hex()}-0102030405060708-00")]
    assert (span.parent_id, span.is_sampled) == ("", False)


@pytest.mark.parametrize(
    ("name", "parent", "trusts", "expected"),
    [
        ("always_on", False, True, True),
        ("always_off", True, True, False),
        ("parentbased_always_on", False, True, False),
        ("parentbased_always_on", False, False, True),
        ("parentbased_always_off", True, True, True),
        ("parentbased_always_off", True, False, False),
    ],
)
def test_who_decides(name: str, parent: bool, trusts: bool, expected: bool) -> None:
    """A trusted parent decides if the sampler says so, so clients cannot force samples."""
    context = TraceContext(TRACE, PARENT, parent)
    span = Span(context, trusts=trusts, sampler=Sampler(name), ids=bytes(24))
    assert span.is_sampled == expected


def test_share() -> None:
    """The share is decided by the trace id alone."""
    sampler = Sampler("traceidratio", 0.25)
    ids = [f"{number * 2**64 // 100:032x}" for number in range(100)]
    assert sum(sampler.takes(trace_id, None) for trace_id in ids) == 25
    for share, count in ((0.0, 0), (1.0, 100)):
        taken = [Sampler("parentbased_traceidratio", share).takes(each, None) for each in ids]
        assert sum(taken) == count
