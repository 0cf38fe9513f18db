"""The opening handshake: what is accepted, which status refuses it, and how it is answered."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.errors import ClientFault
from buntime.core.http1.answer import AnswerError
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.limits import Limits
from buntime.core.http1.reader import RequestReader
from buntime.core.websocket.handshake import Upgrade, accept_response, check_upgrade, is_websocket
from tests.corpus.cases import Case, load_cases

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # from RFC 6455 1.3
FIELDS = {
    "Host": "shop.example",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def head_of(*more: tuple[str, str], line: str = "GET /chat/ HTTP/1.1", **changed: str) -> Head:
    """A handshake's head; `Sec_WebSocket_Key=""` leaves a field out."""
    fields = FIELDS | {name.replace("_", "-"): value for name, value in changed.items()}
    pairs = [pair for pair in fields.items() if pair[1]] + list(more)
    reader = RequestReader(HeadParser(Limits()))
    text = "".join([line, "\r\n", *(f"{name}: {value}\r\n" for name, value in pairs), "\r\n"])
    reader.receive(text.encode("latin-1"))
    head = reader.next_head()
    assert head is not None
    return head


def check(*more: tuple[str, str], **changed: str) -> Upgrade:
    return check_upgrade(head_of(*more, **changed), "websocket")


def fields_of(response: bytes) -> dict[str, str]:
    """A response's fields, each of which occurs once."""
    lines = response.decode("latin-1").split("\r\n")
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert lines[-2:] == ["", ""]
    pairs = [line.split(": ", 1) for line in lines[1:-2]]
    fields = {name.lower(): value for name, value in pairs}
    assert len(fields) == len(pairs)
    return fields


def accept(
    upgrade: Upgrade, subprotocol: str | None = None, extra: list[tuple[str, str]] | None = None
) -> dict[str, str]:
    return fields_of(
        accept_response(
            upgrade, subprotocol, extra or [], date="Sun, 06 Nov 1994 08:49:37 GMT", request_id="r1"
        )
    )


def test_a_plain_handshake() -> None:
    """The minimum handshake is accepted."""
    assert check() == Upgrade(key=KEY, subprotocols=(), agreement=None)


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [("websocket", True), ("h2c, WebSocket", True), ("h2c", False), ("", False), ("websockets", 0)],
)
def test_which_upgrades_are_ours(upgrade: str, expected: bool) -> None:
    """WebSocket may be one of several protocols, in any case."""
    assert is_websocket(upgrade) == bool(expected)


@pytest.mark.parametrize("upgrade", ["", "h2c"])
def test_no_handshake_is_told_to_upgrade(upgrade: str) -> None:
    """A request without a handshake gets 426 and what to ask for."""
    with pytest.raises(ClientFault) as caught:
        check_upgrade(head_of(), upgrade)
    assert caught.value.status == 426
    assert ("Upgrade", "websocket") in caught.value.headers


@pytest.mark.parametrize("version", ["", "8", "12", "14", "013", "13, 13", "13 8"])
def test_another_version_is_told_ours(version: str) -> None:
    """A version other than 13 gets 426 with the supported one."""
    with pytest.raises(ClientFault) as caught:
        check(Sec_WebSocket_Version=version)
    assert caught.value.status == 426
    assert caught.value.headers == (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))


def test_a_repeated_version_is_refused() -> None:
    """The version may occur only once."""
    with pytest.raises(ClientFault, match="once") as caught:
        check(("Sec-WebSocket-Version", "13"))
    assert caught.value.status == 426


@pytest.mark.parametrize(
    "key",
    ["", "x", KEY[:-1], KEY + "=", KEY[:-2], "dGhlIHNhbXBsZSBub25jZQ", KEY.replace("d", "-"),
     "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZTE=", KEY + ", " + KEY],
)  # fmt: skip
def test_a_key_that_is_none(key: str) -> None:
    """A key is 16 bytes in base64; anything else gets 400."""
    with pytest.raises(ClientFault, match="Sec-WebSocket-Key") as caught:
        check(Sec_WebSocket_Key=key)
    assert caught.value.status == 400
    assert caught.value.closes


def test_two_keys() -> None:
    """A repeated key gets 400."""
    with pytest.raises(ClientFault, match="Sec-WebSocket-Key") as caught:
        check(("sec-websocket-key", KEY))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "line", ["POST /chat/ HTTP/1.1", "HEAD /chat/ HTTP/1.1", "GET /chat/ HTTP/1.0"]
)
def test_another_method_or_protocol(line: str) -> None:
    """Only GET with HTTP/1.1 opens a WebSocket."""
    with pytest.raises(ClientFault, match="GET") as caught:
        check_upgrade(head_of(line=line), "websocket")
    assert caught.value.status == 400


@pytest.mark.parametrize("field", [("Content-Length", "1"), ("Transfer-Encoding", "chunked")])
def test_a_body(field: tuple[str, str]) -> None:
    """A handshake with a body gets 400, since its bytes would be read as frames."""
    with pytest.raises(ClientFault, match="body") as caught:
        check(field)
    assert caught.value.status == 400


def test_an_empty_body() -> None:
    """A Content-Length of 0, which some clients send, means no body."""
    assert check(("Content-Length", "0")).key == KEY


def test_subprotocols_are_offered_in_order() -> None:
    """The offers of all fields are joined, in the client's order."""
    upgrade = check(
        ("Sec-WebSocket-Protocol", "chat.v2, chat.v1"), ("Sec-WebSocket-Protocol", " ,mqtt")
    )
    assert upgrade.subprotocols == ("chat.v2", "chat.v1", "mqtt")


@pytest.mark.parametrize("value", ["a b", "chat, ch/at", '"chat"', "chat;q=1", "caf\xe9"])
def test_a_subprotocol_that_is_no_token(value: str) -> None:
    """A subprotocol that is not a token gets 400."""
    with pytest.raises(ClientFault, match="not a token") as caught:
        check(("Sec-WebSocket-Protocol", value))
    assert caught.value.status == 400


def test_a_subprotocol_offered_twice() -> None:
    """The same subprotocol may be offered only once, by RFC 6455 4.1."""
    with pytest.raises(ClientFault, match="twice") as caught:
        check(("Sec-WebSocket-Protocol", "a, b"), ("Sec-WebSocket-Protocol", "a"))
    assert caught.value.status == 400


@pytest.mark.parametrize("value", ["a b", "permessage-deflate; =1", 'x; y="a', 'x; y="a b"', ";"])
def test_malformed_extensions(value: str) -> None:
    """Extensions that break the grammar get 400."""
    with pytest.raises(ClientFault, match="Sec-WebSocket-Extensions") as caught:
        check(("Sec-WebSocket-Extensions", value))
    assert caught.value.status == 400


def test_unknown_extensions_are_declined() -> None:
    """Unknown extensions are skipped, and a known one after them is found."""
    offers = ("Sec-WebSocket-Extensions", 'x-webkit-deflate-frame, mux; max="4"')
    assert check(offers).agreement is None
    agreement = check(offers, ("Sec-WebSocket-Extensions", "permessage-deflate")).agreement
    assert agreement is not None
    assert agreement.answer == "permessage-deflate"


def test_compression_can_be_declined() -> None:
    """With compress=False an offer of compression is declined."""
    head = head_of(("Sec-WebSocket-Extensions", "permessage-deflate"))
    assert check_upgrade(head, "websocket", compress=False).agreement is None


@settings(deadline=None)
@given(st.lists(st.tuples(
    st.sampled_from(["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key",
                     "Sec-WebSocket-Version"]),
    st.text(st.sampled_from('abc13;=",\\ \t-permessage-deflate'), max_size=40),
), max_size=4))  # fmt: skip
def test_no_field_can_break_the_check(more: list[tuple[str, str]]) -> None:
    """Whatever the fields hold, a handshake is accepted or gets 400 or 426."""
    status = 101
    try:
        check(*more)
    except ClientFault as fault:
        status = fault.status
    assert status in (101, 400, 426)


def test_the_response() -> None:
    """The 101 has the proof of RFC 6455 1.3, and nothing that was not requested."""
    assert accept(check()) == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "x-request-id": "r1",
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
    }


def test_the_response_tells_what_was_chosen() -> None:
    """The chosen subprotocol and the negotiated compression are in the answer."""
    upgrade = check(
        ("Sec-WebSocket-Protocol", "a, b"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
    )
    fields = accept(upgrade, "b")
    assert fields["sec-websocket-protocol"] == "b"
    assert fields["sec-websocket-extensions"] == "permessage-deflate; client_max_window_bits=12"


@pytest.mark.parametrize("subprotocol", ["c", "A", "", "a\r\nx: y"])
def test_a_subprotocol_that_was_not_offered(subprotocol: str) -> None:
    """Choosing a subprotocol that was not offered is the app's error, which lists the offers."""
    upgrade = check(("Sec-WebSocket-Protocol", "a, b"))
    with pytest.raises(ValueError, match="was not offered; offered: a, b"):
        accept(upgrade, subprotocol)


def test_an_apps_fields_are_sent() -> None:
    """An app's own fields are sent; hop-by-hop fields and the runtime's own are not."""
    fields = accept(
        check(),
        extra=[
            ("Set-Cookie", "a=1"),
            ("Connection", "close, upgrade, x-mine, sec-websocket-accept"),
            ("X-Mine", "1"),
            ("Upgrade", "h2c"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "5"),
            ("Date", "never"),
        ],
    )
    assert fields["set-cookie"] == "a=1"
    assert fields["connection"] == "Upgrade"
    assert fields["upgrade"] == "websocket"
    assert fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert fields.keys().isdisjoint({"x-mine", "transfer-encoding", "content-length"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nSet-Cookie: a=1"),
        ("X-A", "\x00"),
        ("X-A", "€"),
        ("X A", "1"),
        ("", "1"),
        ("Sec-WebSocket-Protocol", "a"),
        ("sec-websocket-accept", "x"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ],
)
def test_fields_that_cannot_be_sent(name: str, value: str) -> None:
    """A field that would split the head, or answer the handshake, is the app's error."""
    with pytest.raises(AnswerError):
        accept(check(("Sec-WebSocket-Protocol", "a")), extra=[(name, value)])


# The corpus; 401 and 403 are an app's answers


@pytest.mark.parametrize("case", load_cases("handshake"), ids=str)
def test_the_corpus(case: Case) -> None:
    """Each handshake of the corpus is accepted, or refused with its status."""
    reader = RequestReader(HeadParser(Limits()))
    reader.receive(case.data)
    head = reader.next_head()
    assert head is not None
    if case.expected[0] in ("101", "401", "403"):
        assert check_upgrade(head, head.upgrade).key == KEY
    else:
        with pytest.raises(ClientFault) as caught:
            check_upgrade(head, head.upgrade)
        assert str(caught.value.status) == case.expected[0]


@pytest.mark.parametrize("name", ["Sec_WebSocket_Extensions", "Sec_WebSocket_Protocol"])
def test_a_list_that_is_too_long(name: str) -> None:
    """A list longer than any client sends is refused unread."""
    for text in (",", "a,", "a;"):
        with pytest.raises(ClientFault, match="is too long"):
            check(**{name: text * 30_000})
    assert check(**{name: ", ".join(f"x{number}" for number in range(300))}).key
