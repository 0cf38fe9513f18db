import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any

import pytest

from buntime import Headers, Response


def pieces(response: Response) -> Iterator[bytes]:
    assert not response.is_async
    return iter(response.body)  # type: ignore[arg-type]  # not is_async, see above


def collect(response: Response) -> bytes:
    return b"".join(pieces(response))


def test_text() -> None:
    """Text is sent as UTF-8 and says so."""
    response = Response("hé")
    assert (response.status, response.body, response.is_async) == (200, "hé".encode(), False)
    assert response.headers.items() == [("content-type", "text/plain; charset=utf-8")]


def test_binary() -> None:
    """Bytes of any type are sent as octets."""
    for body in (b"a\xff", bytearray(b"a\xff"), memoryview(b"a\xff")):
        response = Response(body)
        assert response.body == b"a\xff"
        assert response.headers.items() == [("content-type", "application/octet-stream")]


def test_empty() -> None:
    """Without a body there is no content type."""
    assert (Response().body, Response(None, 404).headers.items()) == (None, [])


def test_content_type_of_the_app_wins() -> None:
    """The argument wins over the default, and a header wins over both."""
    assert Response("x", content_type="a/b").headers.items() == [("content-type", "a/b")]
    headers = {"Content-Type": "c/d"}
    assert Response("x", headers=headers, content_type="a/b").headers.items() == [
        ("content-type", "c/d")
    ]
    assert Response.json(1, headers=headers).headers.getall("content-type") == ["c/d"]


def test_headers_are_copied() -> None:
    """A Response does not change the headers that it was given."""
    shared = Headers({"x-a": "1"})
    Response("x", headers=shared).set_cookie("a", "b")
    assert shared.items() == [("x-a", "1")]


def test_headers_are_checked() -> None:
    """A header that cannot be sent is refused when the Response is made."""
    with pytest.raises(ValueError, match="header 'x-a'"):
        Response("x", 200, {"x-a": "a\r\nset-cookie: b"})
    with pytest.raises(ValueError, match="header 'content-type'"):
        Response("x", content_type="a\nb")


@pytest.mark.parametrize("status", [100, 199, 600, -1, 0, "200", 200.0, True, None])
def test_bad_status(status: Any) -> None:
    """A status that is not an int from 200 to 599 is refused, and shown."""
    with pytest.raises(ValueError, match="from 200 to 599, not") as caught:
        Response("x", status)
    assert repr(status) in str(caught.value)


def test_status_of_any_int() -> None:
    """An HTTPStatus becomes a plain int."""
    response = Response("x", HTTPStatus.NOT_FOUND)
    assert type(response.status) is int
    assert (response.status, Response(status=599).status) == (404, 599)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_statuses_without_body(status: int) -> None:
    """A body is refused if the status has none; an empty one does not count."""
    assert Response("", status).headers.items() == []
    with pytest.raises(ValueError, match=f"status {status} has no body"):
        Response("x", status)
    with pytest.raises(ValueError, match=f"status {status} has no body"):
        Response(iter(["x"]), status)


def test_lists_are_joined() -> None:
    """A list is complete already, so it is joined, and a wrong piece raises at once."""
    assert Response(["a", b"b", bytearray(b"c"), memoryview(b"d")]).body == b"abcd"
    with pytest.raises(TypeError, match="piece of type int"):
        Response(["a", 1])  # type: ignore[list-item]  # the error is the point


def test_generators() -> None:
    """A generator is read piece by piece, with text encoded, and is closed with the Response."""
    log = []

    def body() -> Iterator[str | bytes]:
        try:
            yield "é"
            yield b"b"
            yield "never"
        finally:
            log.append("closed")

    response = Response(body())
    assert response.headers["content-type"] == "application/octet-stream"
    read = pieces(response)
    assert [next(read), next(read), log] == ["é".encode(), b"b", []]
    response.close()
    assert log == ["closed"]


def test_wrong_pieces() -> None:
    """A generator that yields anything else fails with an error that names the type."""
    with pytest.raises(TypeError, match="piece of type dict"):
        collect(Response(iter([{}])))  # type: ignore[arg-type]  # the error is the point


def test_open_files_go_in_pieces() -> None:
    """An open file is read in pieces of 64 KiB, not lines, and is closed with the Response."""
    file = io.BytesIO(b"a\n" * 50_000)
    response = Response(file)
    assert [len(piece) for piece in pieces(response)] == [65536, 34464]
    response.close()
    assert file.closed
    assert collect(Response(io.StringIO("é\n"))) == "é\n".encode()


def test_iterables_are_read_again() -> None:
    """An iterable is iterated again for each answer, as a table of routes reuses a Response."""

    class Count:
        def __iter__(self) -> Iterator[str]:
            return iter("123")

    response = Response(Count())
    assert [collect(response), collect(response)] == [b"123", b"123"]
    response.close()


def test_async_iterables() -> None:
    """An async generator is read piece by piece and closed by aclose."""
    log = []

    async def body() -> AsyncIterator[str | bytes]:
        try:
            yield "a"
            yield b"b"
        finally:
            log.append("closed")

    async def first_piece() -> bytes:
        response = Response(body())
        assert response.is_async
        read = aiter(response.body)  # type: ignore[arg-type]  # is_async
        piece = await anext(read)
        await read.aclose()  # type: ignore[attr-defined]  # an async generator
        await response.aclose()
        response.close()
        return bytes(piece)

    assert asyncio.run(first_piece()) == b"a"
    assert log == ["closed"]


def test_aclose_of_a_sync_body() -> None:
    """aclose closes a sync body too, so an async handler needs no special case."""
    file = io.BytesIO(b"a")
    asyncio.run(Response(file).aclose())
    assert file.closed
    asyncio.run(Response("x").aclose())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"a": 1}, "not dict; use Response.json"),
        (5, "not int; use Response.json"),
        (object(), "not object"),
        (Response("x"), "not Response"),
    ],
)
def test_bad_bodies(body: Any, says: str) -> None:
    """Any other body is a TypeError that names its type and what is allowed."""
    with pytest.raises(TypeError, match="is str, bytes, an iterable or async iterable") as caught:
        Response(body)
    assert str(caught.value).endswith(says)


def test_forgotten_await() -> None:
    """The error for a coroutine as a body says to await it."""

    async def text() -> str:
        return "x"

    coroutine = text()
    with pytest.raises(TypeError, match="not coroutine; await it first"):
        Response(coroutine)  # type: ignore[arg-type]  # the error is the point
    coroutine.close()


def test_json() -> None:
    """JSON is compact ASCII with its own content type."""
    response = Response.json({"a": [1, None, "é\ud800"]}, 201, {"x-a": "b"})
    assert (response.status, response.body) == (201, rb'{"a":[1,null,"\u00e9\ud800"]}')
    assert response.headers.items() == [("x-a", "b"), ("content-type", "application/json")]


def test_what_json_cannot_say() -> None:
    """A value that JSON cannot express is an error here, not at the client."""
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        Response.json(object())
    with pytest.raises(ValueError, match="JSON"):
        Response.json(float("nan"))


def test_html() -> None:
    """A page is sent as HTML in UTF-8."""
    response = Response.html("<p>é", 404)
    assert (response.status, response.body) == (404, "<p>é".encode())
    assert response.headers.items() == [("content-type", "text/html; charset=utf-8")]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/shop/a?b=c#d", "/shop/a?b=c#d"),
        ("https://[::1]:80/%20", "https://[::1]:80/%20"),
        ("/ä b", "/%C3%A4%20b"),
        ("/\xa0", "/%C2%A0"),
        ("/a\r\nset-cookie: b", "/a%0D%0Aset-cookie:%20b"),
        ("/\\evil", "/%5Cevil"),
    ],
)
def test_redirect(location: str, expected: str) -> None:
    """A location is a URL: invalid characters are percent-encoded, the rest is kept."""
    response = Response.redirect(location)
    assert (response.status, response.body) == (302, None)
    assert response.headers.items() == [("location", expected)]


def test_redirect_status() -> None:
    """Only a redirect status is accepted."""
    assert Response.redirect("/", 308, {"x-a": "b"}).status == 308
    with pytest.raises(ValueError, match="200 does not redirect"):
        Response.redirect("/", 200)


def test_subclasses_make_their_own() -> None:
    """The class methods of a subclass make that subclass."""

    class Mine(Response):
        pass

    assert type(Mine.json(1)) is type(Mine.redirect("/")) is type(Mine.html("")) is Mine


def test_repr() -> None:
    """The repr shows status and type."""
    assert repr(Response("x")) == "<Response 200 text/plain; charset=utf-8>"
