"""Server-sent events as they are sent, read by the rules that browsers follow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import Event, Response
from buntime.sdk.events import AsyncEventStream, EventStream, encode_event


def parsed(stream: bytes) -> list[dict[str, str]]:
    """What an EventSource makes of a stream (HTML standard 9.2.6): data, event and last id."""
    events = []
    data: list[str] = []
    event = last_id = ""
    text = stream.decode().replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append({"data": "\n".join(data), "event": event, "id": last_id})
            data, event = [], ""
        elif name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return events


lines = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))


@given(st.text(st.characters(exclude_categories=["Cs"])), lines, lines)
def test_comes_back(data: str, event: str, last_id: str) -> None:
    """The browser gets any text unchanged, except that its line ends become "\\n"."""
    sent = Event(data, event=event, id=last_id).encode()
    expected = data.replace("\r\n", "\n").replace("\r", "\n")
    assert parsed(sent) == [{"data": expected, "event": event, "id": last_id}]


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        ("a", b"data: a\n\n"),
        ("", b"data: \n\n"),
        ("a\nb\r\nc\rd", b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        ("\x0b\u2028", "data: \x0b\u2028\n\n".encode()),
        ({"a": [1, None]}, b'data: {"a":[1,null]}\n\n'),
        (Event([1, 2]), b"data: [1,2]\n\n"),
        (Event("x", event="e", id=7, retry=500), b"event: e\nid: 7\nretry: 500\ndata: x\n\n"),
        (Event(comment="a\nb"), b": a\n: b\n\n"),
        (Event("x", comment="c"), b": c\ndata: x\n\n"),
        (Event(id=""), b"id: \n\n"),
    ],
)
def test_encoding(event: str | dict[str, object] | Event, sent: bytes) -> None:
    """Text is sent by lines, everything else as JSON; fields have a fixed order."""
    assert encode_event(event) == sent


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "a\nb"},
        {"id": "a\r"},
        {"id": "\0"},
        {"retry": -1},
        {"retry": 1.5},
        {"retry": True},
        {},
        {"data": float("nan")},
    ],
)
def test_refused(fields: dict[str, object]) -> None:
    """What the format cannot carry is refused when the event is made."""
    with pytest.raises(ValueError, match=r"event|JSON"):
        Event(**fields)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("event", [b"bytes", 1, None, ["list"]])
def test_no_event(event: object) -> None:
    """The error for anything that is not an event names its type."""
    with pytest.raises(TypeError, match=r"an event is str, dict or buntime.Event, not "):
        encode_event(event)  # type: ignore[arg-type]  # on purpose


def test_response() -> None:
    """By default a response of events tells proxies and caches not to buffer or store it."""
    response = Response.events(["a", {"b": 1}])
    assert response.status == 200
    assert response.headers.items() == [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),
    ]
    assert isinstance(response.body, EventStream)
    assert not response.is_async
    assert list(response.body) == [b"data: a\n\n", b'data: {"b":1}\n\n']
    assert response.body.heartbeat_s == 15
    other = Response.events([], status=201, headers={"Cache-Control": "no-store"}, heartbeat=None)
    assert (other.status, other.headers["cache-control"]) == (201, "no-store")


def test_async_response() -> None:
    """An async iterable makes an async response."""

    async def events() -> object:
        yield "a"

    response = Response.events(events())  # type: ignore[arg-type]  # not as exactly typed
    assert response.is_async
    assert isinstance(response.body, AsyncEventStream)


@pytest.mark.parametrize("source", ["text", b"bytes", {"a": 1}, 1, None])
def test_no_source(source: object) -> None:
    """A single event is not an iterable of events."""
    with pytest.raises(TypeError, match="an iterable or async iterable"):
        Response.events(source)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("heartbeat", [0, -1])
def test_bad_heartbeat(heartbeat: float) -> None:
    """A heartbeat must be positive; None turns it off."""
    with pytest.raises(ValueError, match="heartbeat"):
        Response.events([], heartbeat=heartbeat)
