"""Hooks that read the bodies of requests, with fake workers."""

from __future__ import annotations

import pytest

from buntime.core.errors import ClientFault
from buntime.core.plugins.hookbody import BODY_MAX_BYTES
from buntime.core.pool import gathering
from tests.support.exchanges import FakeResponder
from tests.support.hookways import Ways

ON_REQUEST = frozenset({"on_request"})
HEAD = b"POST /shop/x HTTP/1.1\r\nHost: shop.example\r\n"


def posting(names: str = "a", *fields: bytes, first: bytes = b"", **keys: object) -> Ways:
    """A POST to an app that takes 10 MiB, before its hooks, with this much of the body there."""
    ways = Ways(names, on=ON_REQUEST, **{"body": True, **keys})
    head = HEAD + b"".join(field + b"\r\n" for field in fields) + b"\r\n"
    ways.exchange = ways.client.request(head + first)
    ways.exchange.limit_body(10 * BODY_MAX_BYTES)
    return ways


def arrive(ways: Ways, data: bytes) -> None:
    """More of the body arrives."""
    ways.client.reader.receive(data)
    ways.exchange.pump()


def seen(ways: Ways, name: str = "a") -> bytes:
    """What a hook that keeps reading gets of the body."""
    body = ways.workers[name].body
    assert body is not None
    got = body.next_piece()
    while not body.has_ended:
        got += b"".join(body.pieces())
        body.grant(65536)
    return got


def to_app(ways: Ways) -> bytes:
    """What an app that keeps reading gets."""
    app = FakeResponder(ways.exchange)
    _, app.body = ways.exchange.assign(app, "w1", 1)
    ways.exchange.pump()
    while not ways.client.reader.body_ended:
        ways.exchange.grant_upload(65536)
    return app.body


def kept_bytes(ways: Ways) -> int:
    return ways.gathering.size_bytes


@pytest.mark.parametrize("is_chunked", [False, True])
def test_all_of_it_comes_before_the_hook_is_asked(is_chunked: bool) -> None:
    """The hook sees the whole body, and the app gets it as if nobody had read it."""
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 300000"
    content = bytes(range(250)) * 1200
    wire = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if is_chunked else content
    ways = posting("a", framing, first=wire[:1000])
    assert ways.begin()
    assert not ways.workers["a"].asked
    arrive(ways, wire[1000:])
    assert kept_bytes(ways) == 300_000
    assert seen(ways) == content
    ways.workers["a"].say("continue")
    assert ways.passed == 1
    assert to_app(ways) == content
    assert kept_bytes(ways) == 0


def test_each_hook_sees_it() -> None:
    """Each hook in turn sees the body, also in another stage; one that does not ask for it does
    not."""
    ways = posting("ab", b"Content-Length: 5", first=b"hello")
    ways.begin()
    assert seen(ways, "a") == b"hello"
    ways.workers["a"].say("continue")
    assert seen(ways, "b") == b"hello"
    blind = posting("a", b"Content-Length: 5", body=False)
    blind.begin()
    assert blind.workers["a"].body is None
    assert blind.workers["a"].asked


def test_no_body() -> None:
    """Without a body there is nothing to wait for."""
    ways = posting()
    ways.begin()
    assert ways.workers["a"].body is None


def test_an_answer_in_the_apps_place() -> None:
    """If the hook answers, the connection continues after the body, which nobody reads any more."""
    ways = posting("a", b"Content-Length: 5", first=b"hello")
    ways.begin()
    ways.workers["a"].say("respond", b"no", status=403, headers=[])
    assert ways.client.ended == [True]
    assert ways.client.reader.body_ended
    assert kept_bytes(ways) == 0


def test_an_answer_by_pieces_in_the_apps_place() -> None:
    """The same holds for an answer in pieces."""
    ways = posting("a", b"Content-Length: 5", first=b"hello")
    ways.begin()
    ways.workers["a"].say("respond", b"no", status=403, headers=[], end=False)
    ways.workers["a"].taker.on_piece(b"!", end=True)
    assert ways.client.ended == [True]
    assert kept_bytes(ways) == 0


def test_an_answer_of_the_runtime() -> None:
    """If a static site or an error answers, the body has been read for it."""
    ways = posting("a", b"Content-Length: 5", first=b"hello")
    ways.begin()
    ways.workers["a"].say("continue")
    ways.exchange.respond(200, [], b"page")
    assert ways.client.ended == [True]
    assert kept_bytes(ways) == 0


def test_who_waits_to_be_told_is_told_once() -> None:
    """100 Continue is sent before the hook is asked, and not again when the app reads."""
    ways = posting("a", b"Content-Length: 5", b"Expect: 100-continue")
    ways.begin()
    assert ways.client.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    arrive(ways, b"hello")
    ways.workers["a"].say("continue")
    assert to_app(ways) == b"hello"
    assert ways.client.written.count(b"100 Continue") == 1


def test_the_most_that_a_hook_gets() -> None:
    """A body one byte too large is refused, before it arrives if its length is announced."""
    content = b"x" * BODY_MAX_BYTES
    ways = posting("a", b"Content-Length: %d" % len(content), first=content)
    ways.begin()
    assert len(seen(ways)) == BODY_MAX_BYTES
    ways = posting("a", b"Content-Length: %d" % (len(content) + 1), b"Expect: 100-continue")
    with pytest.raises(ClientFault, match="the plugin a inspects it") as refused:
        ways.begin()
    assert (refused.value.status, ways.client.written) == (413, b"")


def test_chunks_beyond_what_a_hook_gets() -> None:
    """Chunks beyond the limit are refused at once, and the connection ends."""
    ways = posting("a", b"Transfer-Encoding: chunked")
    ways.begin()
    for _ in range(16):
        arrive(ways, b"10000\r\n" + b"x" * 65536 + b"\r\n")
    assert ways.client.written == b""
    arrive(ways, b"1\r\nx\r\n")
    assert ways.client.written.startswith(b"HTTP/1.1 413 ")
    assert ways.client.ended == [False]
    assert not ways.workers["a"].asked
    assert kept_bytes(ways) == 0


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_hook_that_may_be_passed_over_is_not_asked(is_chunked: bool) -> None:
    """With `onError: ignore` a body that is too large goes to the app, complete."""
    content = b"x" * (BODY_MAX_BYTES + 5)
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 1048581"
    wire = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if is_chunked else content
    ways = posting("a", framing, first=wire, onError="ignore")
    assert ways.begin() == is_chunked
    assert not ways.workers["a"].asked
    assert [each["event"] for each in ways.logged] == ["plugin.hook_ignored"]
    assert to_app(ways) == content
    assert kept_bytes(ways) == 0


def test_more_than_the_app_takes() -> None:
    """If the app's limit is lower, it applies."""
    ways = posting("a", b"Transfer-Encoding: chunked")
    ways.exchange.limit_body(4)
    ways.begin()
    arrive(ways, b"5\r\nhello\r\n")
    assert ways.client.written.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 4 bytes" in ways.client.written


def test_chunks_that_are_none() -> None:
    """Malformed chunks are 400, and the hook is not asked."""
    ways = posting("a", b"Transfer-Encoding: chunked")
    ways.begin()
    arrive(ways, b"zz\r\n")
    assert ways.client.written.startswith(b"HTTP/1.1 400 ")
    assert not ways.workers["a"].asked
    assert kept_bytes(ways) == 0


def test_a_client_that_leaves() -> None:
    """If the client leaves while the body arrives, or while the hook looks at it, nothing is
    kept."""
    ways = posting("a", b"Content-Length: 5", first=b"hel")
    ways.begin()
    assert kept_bytes(ways) == 3
    ways.exchange.on_client_left()
    assert kept_bytes(ways) == 0
    ways = posting("a", b"Content-Length: 5", first=b"hello")
    ways.begin()
    ways.exchange.on_client_left()
    assert kept_bytes(ways) == 0
    assert ways.workers["a"].given_up == [(1, "client")]


def test_a_body_that_comes_by_bits() -> None:
    """Each piece costs its own size, not that of what is there already; a client may take its
    time."""
    ways = posting("a", b"Content-Length: 50000")
    ways.begin()
    for _ in range(50_000):
        arrive(ways, b"x")
    assert seen(ways) == b"x" * 50_000


def test_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept bodies count towards the memory for all that waits; a request that finds none left is
    refused."""
    monkeypatch.setattr(gathering, "MEMORY_MAX_BYTES", 8)
    ways = posting("a", b"Content-Length: 9", first=b"x" * 8)
    ways.begin()
    assert ways.gathering.is_pressed
    arrive(ways, b"x")
    assert ways.client.written.startswith(b"HTTP/1.1 503 ")
    assert kept_bytes(ways) == 0


def test_what_is_said_of_a_body_is_not_kept() -> None:
    """A verdict on a request with a body is not cached, nor does one on a request without a body
    apply to it."""
    ways = posting("a", b"Content-Length: 5", first=b"hello")
    ways.begin()
    ways.workers["a"].say("continue", cacheS=10)
    assert to_app(ways) == b"hello"
    ways.exchange.on_client_left()
    ways.exchange = ways.client.request(HEAD + b"Content-Length: 5\r\n\r\nhello")
    assert ways.begin()
    assert len(ways.workers["a"].asked) == 2


def test_what_is_said_of_none_is_kept_for_none() -> None:
    """A cached verdict on a request without a body is not used for the next one with a body."""
    ways = posting()
    ways.begin()
    ways.workers["a"].say("continue", cacheS=10)
    ways.exchange = ways.client.request(HEAD + b"\r\n")
    assert not ways.begin()
    ways.exchange = ways.client.request(HEAD + b"Content-Length: 5\r\n\r\nhello")
    assert ways.begin()


def test_it_waits_while_its_plugin_changes() -> None:
    """If the plugin changes meanwhile, the process that serves then sees the body."""
    ways = posting("a", b"Content-Length: 5", first=b"hel")
    ways.begin()
    ways.swap()
    arrive(ways, b"lo")
    ways.serve()
    assert seen(ways) == b"hello"
