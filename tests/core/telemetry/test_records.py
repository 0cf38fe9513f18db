"""Records are written as one line each, whatever is in them."""

import json
import re
from datetime import datetime
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.errors import UsageError
from buntime.core.telemetry import records
from buntime.core.telemetry.records import (
    REPR_CHARS,
    AccessEntry,
    Level,
    Record,
    escape,
    format_access_json,
    format_access_pretty,
    format_fields,
    format_json,
    format_pretty,
    split_level,
)

NOON = datetime.fromisoformat("2026-03-01T12:34:56.789+00:00").timestamp()
ENTRY = AccessEntry(
    time=NOON,
    request_id="5f0c",
    method="GET",
    host="localhost:8000",
    path="/hello/?token=secret",
    app="hello",
    version="1.0.0",
    worker="w3",
    status=200,
    bytes=512,
    ms=1.2345,
    client="127.0.0.1",
)
NOT_FOUND = ENTRY._replace(app=None, version=None, worker=None, client=None, status=404)
# What an attacker might send in a path, an app's output or a header to control the terminal.
HOSTILE = 'a"b\\c\x1b]0;pwned\x07\x1b[2J\r\nfake\x9b31m\u202e\u2028\x7f\udc80é'

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Surrogate pairs in two characters would come back as one character.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)
names = st.text(st.characters(codec="utf-8"))
levels = st.sampled_from(Level)
anything = st.text() | st.binary() | st.floats() | st.builds(object) | json_values


class Unspeakable:
    """An object whose own repr fails."""

    def __repr__(self) -> NoReturn:
        raise RuntimeError("no")


def record(message: str = "text", level: Level = Level.INFO, **fields: object) -> Record:
    """A record of NOON."""
    return Record(NOON, level, "test.event", message, fields)


def parsed(line: str) -> dict[str, object]:
    """What a line of JSON says, checked to be one line of ASCII."""
    assert line.splitlines() == [line]
    assert line.isascii()
    value = json.loads(line)
    assert isinstance(value, dict)
    return value


def local_clock() -> str:
    """NOON as pretty lines show it, in the time zone of this machine."""
    return datetime.fromtimestamp(NOON).astimezone().strftime("%H:%M:%S.789")


def test_level_words() -> None:
    """Levels are ordered, and named by the words of the settings."""
    assert [Level.named(word) for word in ("debug", "info", "WARN", "error")] == sorted(Level)


def test_level_unknown() -> None:
    """An unknown level is the operator's error, which lists the valid ones."""
    with pytest.raises(UsageError, match="'loud' is unknown; use debug, info, warn or error"):
        Level.named("loud")


# --- JSON ---


def test_json_head() -> None:
    """A JSON line starts with the time in UTC, the level, the event and the message."""
    line = format_json(record("worker replaced", Level.WARN, worker="w3", age_s=12.5, left=None))
    assert line == (
        '{"time":"2026-03-01T12:34:56.789Z","level":"warn","event":"test.event",'
        '"message":"worker replaced",'
        '"worker":"w3","age_s":12.5,"left":null}'
    )


def test_json_without_fields() -> None:
    """A record without fields has only the four head fields."""
    assert list(parsed(format_json(record()))) == ["time", "level", "event", "message"]


@settings(deadline=None)
@given(levels, st.text(st.characters(codec="utf-8")), st.dictionaries(names, json_values))
def test_json_round_trip(level: Level, message: str, fields: dict[str, object]) -> None:
    """Whatever JSON can express reads back unchanged."""
    head = ("time", "level", "event", "message")
    fields = {name: value for name, value in fields.items() if name not in head}
    value = parsed(format_json(Record(NOON, level, "test.event", message, fields)))
    assert [value.pop(name) for name in head] == [
        "2026-03-01T12:34:56.789Z",
        level.word,
        "test.event",
        message,
    ]
    assert value == fields


@settings(deadline=None)
@given(st.text(), st.dictionaries(st.text(), anything))
def test_json_takes_anything(message: str, fields: dict[str, object]) -> None:
    """Any message and any fields give one line of JSON with a value for each field."""
    value = parsed(format_json(Record(NOON, Level.INFO, "test.event", message, fields)))
    assert len(value) == len(fields) + 4


@pytest.mark.parametrize("name", ["time", "level", "event", "message"])
def test_json_head_is_safe(name: str) -> None:
    """A field with the name of a head field is renamed, and never collides with another field."""
    value = parsed(
        format_json(Record(NOON, Level.INFO, "test.event", "text", {name: 1, name + "_": 2}))
    )
    assert (value["time"], value["level"], value["event"], value["message"]) == (
        "2026-03-01T12:34:56.789Z",
        "info",
        "test.event",
        "text",
    )
    assert (value[name + "_"], value[name + "__"]) == (2, 1)


def test_json_odd_values() -> None:
    """A value without a form in JSON is written as its repr."""
    cycle: list[object] = []
    cycle.append(cycle)
    line = format_json(
        record(
            nan=float("nan"),
            infinite=[float("inf")],
            data=b"\xff",
            error=ValueError("bad"),
            keys={(1, 2): 3},
            cycle=cycle,
            unspeakable=Unspeakable(),
            inside=[Unspeakable()],
            huge=10**5000,
        )
    )
    value = parsed(line)
    del value["time"], value["level"], value["event"], value["message"]
    assert value == {
        "nan": "nan",
        "infinite": "[inf]",
        "data": "b'\\xff'",
        "error": "ValueError('bad')",
        "keys": "{(1, 2): 3}",
        "cycle": "[[...]]",
        "unspeakable": "<Unspeakable without repr>",
        "inside": ["<Unspeakable without repr>"],
        "huge": "<int without repr>",
    }


def test_json_deep_values() -> None:
    """A value nested too deeply for JSON does not break the log."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert parsed(format_json(record(deep=deep)))["deep"] == "<list without repr>"


def test_json_long_repr() -> None:
    """The repr of an unknown object is cut, since an object may be large."""
    value = parsed(format_json(record(data=b"x" * 10_000)))["data"]
    assert isinstance(value, str)
    assert len(value) == REPR_CHARS + len("...")


# --- access lines ---


def test_access_json() -> None:
    """An access line has a fixed set of fields, and no query."""
    assert format_access_json(ENTRY) == (
        '{"time":"2026-03-01T12:34:56.789Z","level":"info","event":"request.access",'
        '"message":"access",'
        '"request_id":"5f0c","method":"GET","host":"localhost:8000",'
        '"path":"/hello/","app":"hello","version":"1.0.0",'
        '"worker":"w3","status":200,"bytes":512,"ms":1.234,"client":"127.0.0.1"}'
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "POST"},
        {"host": "b"},
        {"path": "/hello/more"},
        {"app": "shop"},
        {"version": None},
        {"worker": "w4"},
        {"time": NOON + 0.001},
        {"time": NOON + 60},
        {"path": "/" + "x" * 300},
    ],
    ids=str,
)
def test_access_json_of_what_comes_again(changes: dict[str, Any]) -> None:
    """What is kept of a line is used for no other one."""
    other = ENTRY._replace(**changes)
    for entry in (ENTRY, other, ENTRY, other):
        told = parsed(format_access_json(entry))
        known = ("method", "host", "app", "version", "worker")
        assert [told[name] for name in known] == [getattr(entry, name) for name in known]
        assert told["path"] == entry.path.partition("?")[0]
        moment = datetime.fromisoformat(told["time"]).timestamp()
        assert moment == pytest.approx(entry.time, abs=1e-4)


def test_access_json_keeps_no_long_path() -> None:
    """So what is kept takes little memory."""
    before = records._json_known_request.cache_info().currsize
    format_access_json(ENTRY._replace(path="/" + "y" * 300))
    assert records._json_known_request.cache_info().currsize == before


def test_access_json_without_app() -> None:
    """Missing facts about a request are null, so the fields stay the same."""
    value = parsed(format_access_json(NOT_FOUND))
    assert list(value) == list(parsed(format_access_json(ENTRY)))
    assert [value[name] for name in ("app", "version", "worker", "client")] == [None] * 4


@settings(deadline=None)
@given(*[st.text(st.characters(exclude_categories=["Cs"]))] * 8)
def test_access_json_round_trip(
    request_id: str,
    method: str,
    host: str,
    path: str,
    app: str,
    version: str,
    worker: str,
    client: str,
) -> None:
    """Any text reads back unchanged from an access line, except the query."""
    entry = AccessEntry(
        NOON, request_id, method, host, path, app, version, worker, 200, 512, 1.25, client
    )
    expected = entry._asdict() | {
        "time": "2026-03-01T12:34:56.789Z",
        "level": "info",
        "event": "request.access",
        "message": "access",
        "path": path.partition("?")[0],
    }
    del expected["trace_id"], expected["span_id"]  # of traced requests only
    assert parsed(format_access_json(entry)) == expected


def test_access_json_of_a_trace() -> None:
    """A traced request has its trace at the end of the line."""
    line = format_access_json(ENTRY._replace(trace_id="4bf9", span_id="00f0"))
    assert list(parsed(line).items())[-2:] == [("trace_id", "4bf9"), ("span_id", "00f0")]


def test_access_pretty() -> None:
    """A pretty access line reads like a request and its answer, and has no query."""
    assert format_access_pretty(ENTRY, False) == (
        f"{local_clock()} INFO  GET /hello/ 200 1.2ms 512B hello@1.0.0 w3 127.0.0.1 5f0c"
    )


def test_access_pretty_without_app() -> None:
    """A pretty access line leaves out missing facts."""
    line = format_access_pretty(NOT_FOUND, False)
    assert line == f"{local_clock()} INFO  GET /hello/ 404 1.2ms 512B 5f0c"


def test_access_pretty_without_version() -> None:
    """An app without a version is shown by its name."""
    assert " hello w3 " in format_access_pretty(ENTRY._replace(version=None), False)


@pytest.mark.parametrize(("status", "code"), [(200, 32), (304, 36), (404, 33), (502, 31)])
def test_access_colour(status: int, code: int) -> None:
    """The colour of a status shows its class."""
    line = format_access_pretty(ENTRY._replace(status=status), True)
    assert f"\x1b[{code}m{status}\x1b[0m" in line


def test_access_colour_of_unknown_class() -> None:
    """A status of an unknown class has no colour."""
    assert " 101 " in format_access_pretty(ENTRY._replace(status=101), True)


def test_access_pretty_hostile() -> None:
    """No part of a request reaches the terminal as a control character."""
    entry = ENTRY._replace(
        request_id=HOSTILE, method=HOSTILE, path=HOSTILE, app=HOSTILE, client=HOSTILE
    )
    assert format_access_pretty(entry, False).isprintable()


# --- pretty ---


def test_pretty() -> None:
    """A pretty line has the local time, the level, the message and the fields."""
    line = format_pretty(record("worker replaced", Level.WARN, worker="w3", age_s=12.5), False)
    assert line == f"{local_clock()} WARN  worker replaced worker=w3 age_s=12.5"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("C:\\x", '"C:\\\\x"'),
        ("tab\t", '"tab\\t"'),
        ("café", "café"),
        (True, "true"),
        (7, "7"),
        (2.0, "2"),
        (1.25, "1.25"),
        (float("nan"), '"nan"'),
        (["a", 1], '["a",1]'),
        (["A", "B"], "A,B"),
        (("a b", "c"), '["a b","c"]'),
        ({"b", "a"}, "a,b"),
        (ValueError("x"), '"ValueError: x"'),
    ],
)
def test_pretty_values(value: object, text: str) -> None:
    """A value is quoted if its end would not be clear."""
    assert format_pretty(record(key=value), False).endswith(f" text key={text}")


@pytest.mark.parametrize("value", [None, "", [], (), {}, set(), frozenset()])
def test_pretty_leaves_out_what_is_empty(value: object) -> None:
    """An app without a version has no `version=null`; 0 and false are still shown."""
    line = format_pretty(record(version=value, left=0, done=False), False)
    assert line.endswith(" text left=0 done=false")


def test_fields_of_a_line() -> None:
    """Fields shown by other commands are written as in a pretty line."""
    assert format_fields({"folder": "/a b", "version": None, "names": ["A"]}) == (
        'folder="/a b" names=A'
    )


def test_pretty_stack() -> None:
    """A field with several lines is indented below the line, after all other fields."""
    stack = 'Traceback:\n  File "app.py"\n\tcode\nValueError: x\n'
    lines = format_pretty(record("app failed", stack=stack, app="shop"), False).split("\n")
    assert lines == [
        f"{local_clock()} INFO  app failed app=shop",
        "    stack:",
        "        Traceback:",
        '          File "app.py"',
        "            code",
        "        ValueError: x",
    ]


@pytest.mark.parametrize("level", Level)
def test_pretty_colour(level: Level) -> None:
    """Colour adds escape sequences and nothing else."""
    entry = record(HOSTILE, level, key="value", stack="a\nb", hostile=HOSTILE)
    coloured = format_pretty(entry, True)
    assert coloured != format_pretty(entry, False)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == format_pretty(entry, False)


@settings(deadline=None)
@given(st.text(), st.dictionaries(st.text(), anything))
def test_pretty_is_printable(message: str, fields: dict[str, object]) -> None:
    """Whatever a record contains, a pretty line is printable, and further lines are indented."""
    head, *below = format_pretty(
        Record(NOON, Level.INFO, "test.event", message, fields), False
    ).split("\n")
    assert head.isprintable()
    assert all(line.isprintable() and line.startswith("    ") for line in below)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain é 漢 😀", "plain é 漢 😀"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb\x00", "a\\r\\nb\\x00"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("\u202e\u2028\udc80", "\\u202e\\u2028\\udc80"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    """Letters stay, and anything that could move a cursor or hide text becomes visible."""
    assert escape(text) == escaped


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("<3>full", (Level.ERROR, "full")),
        ("<0>", (Level.ERROR, "")),
        ("<4>slow", (Level.WARN, "slow")),
        ("<5>so", (Level.INFO, "so")),
        ("<7>x", (Level.DEBUG, "x")),
        ("<8>x", (Level.WARN, "<8>x")),
        ("<33>x", (Level.WARN, "<33>x")),
        ("<b>x</b>", (Level.WARN, "<b>x</b>")),
        ("<", (Level.WARN, "<")),
        ("", (Level.WARN, "")),
    ],
)
def test_split_level(line: str, told: tuple[Level, str]) -> None:
    """A line may start with its level in the format of sd-daemon; the rest is the text."""
    assert split_level(line, Level.WARN) == told
