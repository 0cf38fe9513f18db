"""A line of an app's log is read from its bytes, and nothing that an app prints can fake it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.telemetry.applines import (
    RUNTIME,
    LineFilter,
    app_of,
    name_of,
    numbered,
    seq_of,
    time_of,
    time_text,
)
from buntime.core.telemetry.records import AccessEntry, Level, Record, format_access_json
from buntime.core.telemetry.records import format_json as format_record

NOON = 1772368496.789  # 2026-03-01T12:34:56.789Z
SEQ = 1772368496789000


def line(level: Level = Level.INFO, message: str = "hello", **fields: object) -> bytes:
    return numbered(format_record(Record(NOON, level, "app.output", message, fields)), SEQ)


def wants(text: bytes, **asked: object) -> bool:
    return LineFilter(**asked).compiled()(text)  # type: ignore[arg-type]  # of the test's cases


def test_number_in_front() -> None:
    """A numbered line is the log's line with its number in front, and still a JSON object."""
    text = line(app="shop")
    assert json.loads(text) == {
        "seq": SEQ,
        "time": "2026-03-01T12:34:56.789Z",
        "level": "info",
        "event": "app.output",
        "message": "hello",
        "app": "shop",
    }
    assert (text[-1:], seq_of(text)) == (b"\n", SEQ)
    assert time_of(text) == time_text(NOON) == b"2026-03-01T12:34:56.789Z"


@pytest.mark.parametrize("torn", [b"", b"\n", b'{"seq":17723', b'{"seq":1772368496789x00,'])
def test_number_of_what_is_none(torn: bytes) -> None:
    """A torn line has the number 0."""
    assert seq_of(torn) == 0


@pytest.mark.parametrize(
    ("fields", "app"),
    [
        ({"app": "shop"}, "shop"),
        ({"app": "shop@1.2.0"}, "shop"),
        ({"app": "@acme/shop@1.2.0"}, "@acme/shop"),
        ({"app": "@acme/shop"}, "@acme/shop"),
        ({"app": None}, RUNTIME),
        ({"app": 7}, RUNTIME),
        ({"plugin": "audit"}, "plugin:audit"),
        ({}, RUNTIME),
    ],
)
def test_whose_log(fields: dict[str, object], app: str) -> None:
    """A record belongs to the app that it names, in any version, or to a plugin."""
    assert app_of(fields) == app


def test_name_of_empty_key() -> None:
    """Any text may be a key."""
    assert [name_of(key) for key in ("", "@", "@@")] == ["", "@", "@"]


@pytest.mark.parametrize("level", Level)
def test_level(level: Level) -> None:
    """Lines of at least this level are selected."""
    told = [each for each in Level if wants(line(each), level=level)]
    assert told == [each for each in Level if each >= level]


def test_since() -> None:
    """A line from this moment on is selected, one before it is not."""
    assert wants(line(), since=time_text(NOON))
    assert not wants(line(), since=time_text(NOON + 0.001))


def test_request() -> None:
    """A request's id is found in access lines and in the runtime's records."""
    entry = AccessEntry(NOON, "5f0c", "GET", "x", "/", "shop", None, None, 200, 0, 1.0, None)
    assert wants(numbered(format_access_json(entry), SEQ), request="5f0c")
    assert not wants(numbered(format_access_json(entry), SEQ), request="5f0")
    assert wants(line(request_id="5f0c", version="1.0.0"), request="5f0c", version="1.0.0")
    assert not wants(line(request_id="5f0c", version="1.0.0"), request="5f0c", version="2.0.0")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_forgery(text: str) -> None:
    """Whatever an app prints, it cannot fake a level or a line of another request."""
    forged = f'","level":"error","request_id":"5f0c"{text}","request_id":"5f0c","version":"9"'
    for message in (forged, text, json.dumps(forged), "\n" + forged):
        printed = line(Level.INFO, message)
        assert printed.count(b"\n") == 1
        assert not wants(printed, level=Level.WARN)
        assert not wants(printed, request="5f0c")
        assert not wants(printed, version="9")
