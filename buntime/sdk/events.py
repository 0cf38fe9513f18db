"""Server-sent events: what `Response.events` sends (HTML standard 9.2.5), one event per piece.

    Event({"eur": 12}, event="price", id="7")  ->  event: price
                                                   id: 7
                                                   data: {"eur":12}

Text of several lines is sent as several `data` fields; the browser joins them with "\
" again.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
    from typing import Any, Union

    EventLike = Union[str, dict[str, Any], "Event"]

__all__ = ["AsyncEventStream", "Event", "EventStream"]


class Event:
    """One event: `Event("text")`, `Event({"a": 1}, event="added", id="17")`.

    `data` that is not text is sent as JSON; None means no data, and such an event reaches no
    listener. The browser calls the listeners for `event`, "message" by default. When it reconnects,
    `retry` milliseconds after the connection was lost, it sends the last `id` it got:
    `request.last_event_id`. A `comment` is only seen by readers of the raw stream.
    """

    __slots__ = ("comment", "data", "event", "id", "retry")

    def __init__(
        self,
        data: Any = None,
        event: str | None = None,
        id: str | int | None = None,  # noqa: A002  # its name on the wire
        retry: int | None = None,
        comment: str | None = None,
    ) -> None:
        """Raises ValueError or TypeError for what the format cannot carry."""
        self.data = data if data is None or isinstance(data, str) else _json(data)
        self.event = _one_line(event, "event")
        self.id = _one_line(id if id is None or isinstance(id, str) else str(int(id)), "id")
        if retry is not None and (type(retry) is not int or retry < 0):
            raise ValueError(f"the retry of an event is a number of milliseconds, not {retry!r}")
        self.retry = retry
        self.comment = comment
        if all(value is None for value in (data, event, id, retry, comment)):
            raise ValueError("this event has nothing to send: no data, id, retry or comment")

    def encode(self) -> bytes:
        r"""Return it as it is sent: `Event("a")` -> `b"data: a\n\n"`."""
        lines = []
        if self.comment is not None:
            lines += [f": {line}" for line in _lines(self.comment)]
        if self.event is not None:
            lines.append(f"event: {self.event}")
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}")
        if self.data is not None:
            lines += [f"data: {line}" for line in _lines(self.data)]
        return ("\n".join(lines) + "\n\n").encode()

    def __repr__(self) -> str:
        return f"Event({self.encode()!r})"


class EventStream:
    """The events of an iterable, as the pieces of a response's body."""

    def __init__(self, source: Iterable[EventLike], heartbeat_s: float) -> None:
        self._source = source
        self.heartbeat_s = heartbeat_s  # the sender fills silences of this length

    def __iter__(self) -> Iterator[bytes]:
        return map(encode_event, self._source)

    def close(self) -> None:
        """Close what the events come from, where it can be closed."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class AsyncEventStream:
    """The events of an async iterable."""

    def __init__(self, source: AsyncIterable[EventLike], heartbeat_s: float) -> None:
        self._source = source
        self.heartbeat_s = heartbeat_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for event in self._source:
            yield encode_event(event)

    async def aclose(self) -> None:
        """Close what the events come from, where it can be closed."""
        aclose = getattr(self._source, "aclose", None)
        if aclose is not None:
            await aclose()


def event_stream(source: Any, heartbeat_s: float | None) -> EventStream | AsyncEventStream:
    """Return the body of a response that sends these events."""
    if heartbeat_s is not None and not heartbeat_s > 0:
        raise ValueError(f"heartbeat is a number of seconds above 0, or None, not {heartbeat_s!r}")
    if hasattr(source, "__aiter__"):
        return AsyncEventStream(source, heartbeat_s or 0)
    if isinstance(source, (str, bytes, dict)) or not hasattr(source, "__iter__"):
        raise TypeError(
            "the events of a Response are an iterable or async iterable, such as a generator, "
            f"not {type(source).__name__}"
        )
    return EventStream(source, heartbeat_s or 0)


def encode_event(event: EventLike) -> bytes:
    r"""Return an event as it is sent: `"a\nb"` -> `b"data: a\ndata: b\n\n"`."""
    if isinstance(event, str):
        if "\n" not in event and "\r" not in event:
            return f"data: {event}\n\n".encode()
        return Event(event).encode()
    if isinstance(event, Event):
        return event.encode()
    if isinstance(event, dict):
        return f"data: {_json(event)}\n\n".encode()
    raise TypeError(f"an event is str, dict or buntime.Event, not {type(event).__name__}")


def _json(value: Any) -> str:
    from buntime.sdk.jsontext import json_text  # 14 ms, for an app whose events are all text

    return json_text(value)


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _one_line(value: str | None, name: str) -> str | None:
    if value is not None:
        if not isinstance(value, str):
            raise TypeError(f"the {name} of an event is str, not {type(value).__name__}")
        if "\n" in value or "\r" in value or (name == "id" and "\0" in value):
            raise ValueError(f"the {name} of an event is one line, without U+0000: {value!r}")
    return value
