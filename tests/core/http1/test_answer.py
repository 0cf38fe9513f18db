"""Answers as bytes: h11's client reads back what was meant, and nothing else can be sent."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.answer import (
    FIELDS_MAX,
    Answer,
    AnswerError,
    Framing,
    RepeatedFields,
    _known_lines,
    _known_names,
    repeat_fields,
    without_nominated,
    write_fields,
)
from buntime.core.http1.head import Head
from buntime.core.http1.section import HOP_BY_HOP

Fields = list[tuple[str, str]]

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
OURS = HOP_BY_HOP | {"date", "x-request-id", "content-length"}

NAMES = st.text(TOKEN, min_size=1, max_size=20).filter(lambda name: name.lower() not in OURS)
VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40
).map(lambda value: "".join(c for c in value if not 0x80 <= ord(c) < 0xA0).strip())
PIECES = st.lists(st.binary(max_size=300), max_size=8)
STATUSES = st.integers(200, 599)


def answer(
    method: str = "GET",
    status: int = 200,
    fields: Fields | None = None,
    size: int | None = None,
    *,
    version: str = "1.1",
    keep_alive: bool = True,
) -> Answer:
    return Answer(
        Head(method, "/", version),
        status,
        fields or [],
        size,
        date=DATE,
        request_id="an-id",
        keep_alive=keep_alive,
    )


def read_back(data: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """What h11's client sees: the head and the body, and nothing after them."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:  # the end of the connection marks the end
            client.receive_data(b"")
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            assert isinstance(event, h11.EndOfMessage)
            break
    assert client.trailing_data[0] == b""
    return response, body


def lines(made: Answer) -> list[str]:
    """The head's lines, without the empty ones at its end."""
    return made.head.decode("latin-1").split("\r\n")[:-2]


def field(made: Answer, name: str) -> list[str]:
    """The values of a field, in order."""
    pairs = [line.split(": ", 1) for line in lines(made)[1:]]
    return [value for key, value in pairs if key.lower() == name]


@given(PIECES, st.booleans(), st.sampled_from(["1.0", "1.1"]), st.booleans(), STATUSES)
def test_any_body_is_read_back(
    pieces: list[bytes], is_told: bool, version: str, keep_alive: bool, status: int
) -> None:
    """A client reads the body that was framed, however it was cut and however its end is marked."""
    whole = b"".join(pieces)
    size = len(whole) if is_told else None
    made = answer("GET", status, None, size, version=version, keep_alive=keep_alive)
    sent = made.head + b"".join(b"".join(made.frame(piece)) for piece in pieces)
    if status not in (204, 205, 304):
        sent += made.finish()
    response, body = read_back(sent)
    assert response.status_code == status
    assert body == (b"" if status in (204, 205, 304) else whole)


@given(PIECES, st.booleans(), st.booleans())
def test_an_answer_to_head_has_no_body(
    pieces: list[bytes], is_told: bool, keep_alive: bool
) -> None:
    """The answer to HEAD is a head only, whatever body the app gives."""
    size = sum(map(len, pieces)) if is_told else None
    made = answer("HEAD", 200, None, size, keep_alive=keep_alive)
    assert [made.frame(piece) for piece in pieces] == [()] * len(pieces)
    assert made.finish() == b""
    assert read_back(made.head, "HEAD")[1] == b""


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_fields_are_read_back(fields: Fields) -> None:
    """An app's fields reach the client unchanged and in order, including repeated ones."""
    response, _ = read_back(answer("GET", 200, fields, 0).head)
    got = [(name.decode(), value.decode("latin-1")) for name, value in response.headers]
    ours = {"content-length", "x-request-id", "date"}
    assert [pair for pair in got if pair[0] not in ours] == [
        (name.lower(), value) for name, value in fields
    ]


@given(st.text(max_size=12), st.text(max_size=30))
def test_no_field_can_add_another(name: str, value: str) -> None:
    """A field is refused, dropped, or sent as one field: no name or value turns it into two."""
    try:
        made = answer("GET", 200, [(name, value)], 0)
    except AnswerError:
        return
    assert len(lines(made)) in (4, 5)  # status, [the field], length, request id, date
    assert made.head.count(b"\r\n\r\n") == 1
    assert made.head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "\x7f", "\x1b", "\u2028"])
def test_control_characters_in_values_are_refused(value: str) -> None:
    """What could end a line, or is not allowed in HTTP, is refused; the error names the field."""
    with pytest.raises(AnswerError, match="'X-Bad'"):
        answer(fields=[("X-Bad", value)])


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "é", "a\0", "(a)"])
def test_names_that_are_no_tokens_are_refused(name: str) -> None:
    """A field whose name is not a token is refused."""
    with pytest.raises(AnswerError, match="header name"):
        answer(fields=[(name, "x")])


@pytest.mark.parametrize("pair", [(1, "a"), ("a", 1), ("a", None), ("a", b"x"), ("a", [])])
def test_fields_of_other_types_are_refused(pair: tuple[object, object]) -> None:
    """Names and values are text: other types from a faulty worker are an error, not a crash."""
    with pytest.raises(AnswerError):
        answer(fields=[pair])  # type: ignore[list-item]  # on purpose


@pytest.mark.parametrize("name", ["x-%d", "set-cookie", "connection", "content-length"])
def test_too_many_fields(name: str) -> None:
    """An answer with thousands of fields is refused, since it would hold up other clients."""
    some = [(name.replace("%d", str(number)), "1") for number in range(FIELDS_MAX + 1)]
    assert answer(fields=some[:-1]).head.count(b"\n") > 3
    with pytest.raises(AnswerError, match="1001 headers are too many"):
        answer(fields=some)


@pytest.mark.parametrize("fields", [5, "ab", [["a"]], [["a", "b", "c"]], [[["a"], "b"]], [5]])
def test_fields_that_are_no_pairs_are_refused(fields: object) -> None:
    """Each field is a pair of a name and a value."""
    with pytest.raises(AnswerError):
        answer(fields=fields)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | {"date", "x-request-id"}))
def test_what_is_the_runtimes_to_say_is_dropped(name: str) -> None:
    """An app's hop-by-hop fields, date and request id do not reach the client."""
    made = answer(fields=[(name.title(), "of-the-app")], size=0)
    assert "of-the-app" not in made.head.decode()


def test_fields_named_in_connection_are_dropped() -> None:
    """Fields that an app names in Connection are dropped, whether they come before or after it."""
    fields = [
        ("X-First", "1"),
        ("Connection", "x-first, X-Last"),
        ("X-Kept", "2"),
        ("x-last", "3"),
        ("Set-Cookie", "a=b"),
    ]
    made = answer(fields=fields, size=0)
    assert [field(made, name) for name in ("x-first", "x-last")] == [[], []]
    assert field(made, "x-kept") == ["2"]
    assert field(made, "set-cookie") == ["a=b"]


@pytest.mark.parametrize("odd", ["ab", {"x": 0, "y": 0}, {"a", "b"}, iter("ab"), None, 7])
def test_a_field_is_a_list_or_tuple(odd: Any) -> None:
    """Whatever else can be unpacked into two is no field: others would see something else in it."""
    with pytest.raises(AnswerError, match="must be pairs"):
        answer(fields=[("a", "b"), odd], size=0)


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ([("a", "1")], [("a", "1")]),
        ([("A", "1"), ("Connection", "a"), ["a", "2"]], []),
        ([("connection", "X-B , Close"), ["x-b", "1"]], [("connection", "close")]),
        ([("connection", "b"), ("CONNECTION", "close")], [("connection", "close")]),
        ([("connection", "set-cookie"), ("Set-Cookie", "a=b")], [("Set-Cookie", "a=b")]),
        ([("connection", "keep-alive")], []),
        ([["connection", 1], 7, None, ("a",)], [["connection", 1], 7, None, ("a",)]),
    ],
)
def test_connection_is_about_its_own_answer(fields: Any, left: Any) -> None:
    """What Connection names is left out once, so that it takes away nothing that others add."""
    assert without_nominated(fields) == left


def test_an_app_may_close_the_connection() -> None:
    """`Connection: close` from an app closes the connection, in any case and list; no other
    value has an effect."""
    for fields in (
        [("connection", "close")],
        [("Connection", "X-A , Close")],
        [("connection", "x-a"), ("CONNECTION", "close")],
    ):
        made = answer(fields=fields, size=0)
        assert not made.keep_alive
        assert field(made, "connection") == ["close"]
    for value in ("keep-alive", "x-close", "closed", ""):
        made = answer(fields=[("connection", value)], size=0)
        assert made.keep_alive
        assert field(made, "connection") == []


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (421, "Misdirected Request"),
        (422, "Unprocessable Content"),
        (200, "OK"),
        (599, ""),
    ],
)
def test_phrases(status: int, phrase: str) -> None:
    """A status has the phrase of RFC 9110 in every Python version; an unknown status has none."""
    assert lines(answer(status=status, size=0))[0] == f"HTTP/1.1 {status} {phrase}"


def test_connection_cannot_take_away_framing() -> None:
    """Naming Content-Length in Connection does not remove the framing of the answer."""
    made = answer(fields=[("connection", "content-length, content-type"), ("content-type", "a/b")])
    assert field(made, "content-type") == ["a/b"]
    made = answer(fields=[("connection", "content-length"), ("content-length", "3")])
    assert field(made, "content-length") == ["3"]


@pytest.mark.parametrize("status", [199, 100, 101, 0, -1, 1000, "200", None, True, 200.0])
def test_statuses_that_end_no_request_are_refused(status: object) -> None:
    """A status is a whole number from 200 to 999; apps cannot send interim ones."""
    with pytest.raises(AnswerError, match="status"):
        answer(status=status)  # type: ignore[arg-type]  # on purpose


def test_unknown_statuses_have_no_phrase() -> None:
    """An unknown status is sent with an empty phrase, which clients accept."""
    assert read_back(answer(status=299, size=0).head)[0].status_code == 299


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "0x1", "1,1", "1_0", "\u0661", "9" * 19])
def test_lengths_that_are_no_numbers_are_refused(value: str) -> None:
    """An app's Content-Length must be a single whole number."""
    with pytest.raises(AnswerError):
        answer(fields=[("content-length", value)])


def test_fields_sent_before_are_sent_alike() -> None:
    """A field that was sent before is written alike again; each spelling of a name is kept."""
    fields = [("X-Kept", "1"), ("x-kept", "1"), ("X-Kept", "2"), ("Connection", "x-other")]
    first = answer(fields=[*fields, ("X-Other", "1")], size=0)
    again = answer(fields=[list(field) for field in [*fields, ("X-Other", "1")]], size=0)
    assert again.head == first.head
    assert lines(first)[1:4] == ["X-Kept: 1", "x-kept: 1", "X-Kept: 2"]
    assert field(first, "x-other") == []


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [["X-A", "1"], ["content-type", "text/plain"], ["set-cookie", "a=1"]],
        [["content-length", "2"], ["x-a", "1"]],
        [["connection", "x-a, close"], ["x-a", "1"], ["x-b", "2"]],
    ],
)
def test_fields_that_come_again_are_sent_alike(fields: list[list[str]]) -> None:
    """What is known of fields that a worker sends again is what they would be without it."""
    known = RepeatedFields(fields)
    for _ in range(3):
        again, fresh = answer(fields=known, size=2), answer(fields=fields, size=2)  # type: ignore[arg-type]  # as workers send them
        assert (again.head, again.keep_alive) == (fresh.head, fresh.keep_alive)


@pytest.mark.parametrize(
    "fields",
    [[["a\n", "b"]], [["a", "b\r\n"]], ["ab"], [["content-length", "1"]], [["a"]]],
)
def test_fields_that_cannot_be_sent_are_refused_again(fields: Any) -> None:
    """However often a worker sends them."""
    known = RepeatedFields(fields)
    for _ in range(3):
        with pytest.raises(AnswerError):
            answer(fields=known, size=2)  # type: ignore[arg-type]  # as workers send them


@pytest.mark.parametrize("headers", ["ab", None, 1, {"a": "b"}])
def test_what_is_no_list_of_fields_stays(headers: object) -> None:
    """A worker may send anything; the answer refuses it then."""
    assert repeat_fields({"headers": headers}) == {"headers": headers}
    assert repeat_fields({}) == {}


def test_few_and_small_fields_are_remembered() -> None:
    """An app that varies its fields, or makes them large, does not fill the cache; cookies are
    never cached."""
    for number in range(2000):
        answer(fields=[(f"X-{number}", "1"), ("Content-Length", "0"), ("Date", str(number))])
    answer(fields=[("X-Large", "x" * 300), ("Set-Cookie", "session=secret")])
    assert len(_known_lines) == 512
    assert len(_known_names) <= 1024
    assert ("X-1999", "1") in _known_lines
    assert {name for name, _ in _known_lines}.isdisjoint({"X-Large", "Set-Cookie", "Date"})


def test_two_different_lengths_are_refused() -> None:
    """Two equal Content-Length fields become one; two different ones are an error."""
    fields = [("content-length", "3"), ("Content-Length", "3")]
    assert field(answer(fields=fields), "content-length") == ["3"]
    with pytest.raises(AnswerError, match="twice"):
        answer(fields=[("content-length", "3"), ("content-length", "4")])


def test_a_whole_body_of_another_length_is_refused() -> None:
    """If the whole body is there, a wrong Content-Length is found before the head is sent."""
    with pytest.raises(AnswerError, match="Content-Length is 4, but the body has 3 bytes"):
        answer(fields=[("content-length", "4")], size=3)


@given(st.integers(0, 50), PIECES)
def test_a_body_is_as_long_as_it_was_said_to_be(length: int, pieces: list[bytes]) -> None:
    """A body longer or shorter than its Content-Length is an error, at its end at the latest."""
    made = answer(fields=[("content-length", str(length))])
    sent = 0
    try:
        for piece in pieces:
            sent += sum(map(len, made.frame(piece)))
        made.finish()
    except AnswerError:
        assert sum(map(len, pieces)) != length
    else:
        assert sum(map(len, pieces)) == length
    assert sent <= length  # no excess byte was sent: it would be read as the next answer


@pytest.mark.parametrize(
    ("method", "status", "fields", "size", "told"),
    [
        ("GET", 200, [], 5, ["5"]),
        ("GET", 200, [], 0, ["0"]),
        ("HEAD", 200, [], 5, ["5"]),
        ("HEAD", 200, [], 0, []),  # the app may have omitted the body itself
        ("HEAD", 200, [("content-length", "7")], 0, ["7"]),
        ("HEAD", 200, [], None, []),
        ("GET", 204, [("content-length", "0")], 0, []),  # RFC 9110 8.6: never in a 204
        ("GET", 304, [("content-length", "7")], 0, ["7"]),
        ("GET", 304, [], 0, []),
        ("GET", 205, [], 5, ["0"]),  # RFC 9110 15.3.6: without a body, but a client looks for one
        ("GET", 205, [("content-length", "5")], None, ["0"]),
        ("HEAD", 205, [], None, ["0"]),
    ],
)
def test_which_length_is_told(
    method: str, status: int, fields: Fields, size: int | None, told: list[str]
) -> None:
    """Content-Length is the size of the body that a GET would have got."""
    made = answer(method, status, fields, size)
    assert field(made, "content-length") == told
    assert field(made, "transfer-encoding") == []


@pytest.mark.parametrize(
    ("version", "size", "framing", "fields"),
    [
        ("1.1", None, Framing.CHUNKED, {"transfer-encoding: chunked"}),
        ("1.1", 3, Framing.LENGTH, {"content-length: 3"}),
        ("1.0", 3, Framing.LENGTH, {"content-length: 3", "connection: keep-alive"}),
        ("1.0", None, Framing.CLOSE, {"connection: close"}),
    ],
)
def test_how_the_end_is_told(
    version: str, size: int | None, framing: Framing, fields: set[str]
) -> None:
    """The end is marked by the length if it is known, else by chunks; HTTP/1.0 closes instead."""
    made = answer(size=size, version=version)
    assert made.framing is framing
    assert set(lines(made)[1:]) - {"x-request-id: an-id", f"date: {DATE}"} == fields
    assert made.keep_alive is (framing is not Framing.CLOSE)


def test_a_closing_answer_says_so() -> None:
    """Only the last answer of a connection has `Connection: close`."""
    assert field(answer(size=0, keep_alive=False), "connection") == ["close"]
    assert field(answer(size=0), "connection") == []


def test_an_empty_piece_ends_no_chunked_body() -> None:
    """An empty piece sends nothing, since an empty chunk would end the body."""
    made = answer()
    assert made.frame(b"") == ()
    assert b"".join(made.frame(b"abc")) + made.finish() == b"3\r\nabc\r\n0\r\n\r\n"


def test_it_shows_its_state() -> None:
    """Its repr shows how it is framed and what is left."""
    made = answer(size=5)
    made.frame(b"abc")
    assert repr(made) == "Answer(LENGTH, 2 left)"


def test_names_that_an_app_invents() -> None:
    """Neither many names nor long ones stay in memory, and common names are cached again."""
    names = [f"x-{number}" for number in range(3000)]
    for name in (*names, *(f"{name}-{'x' * 90_000}" for name in names[:20]), "x-usual"):
        write_fields([], [(name, "")])
    assert len(_known_names) <= 1024
    assert sum(map(len, _known_names)) <= 1024 * 64
    assert "x-usual" in _known_names
