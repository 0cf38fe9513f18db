import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import AsyncRequest, File, Request
from buntime.sdk.request import BadBody

ROOT = Path(__file__).resolve().parents[2]
# An app that only says hello must load none of these: each costs more than all of ours.
HEAVY = {"re", "json", "typing", "functools", "urllib.parse", "os", "mimetypes", "asyncio"}


class Source:
    """A body that arrives in pieces, as in the worker."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read(self, limit: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > limit:
            self.pieces.insert(0, piece[limit:])
        return piece[:limit]


class AsyncSource(Source):
    async def read(self, limit: int) -> bytes:  # type: ignore[override]  # the async twin
        await asyncio.sleep(0)
        return super().read(limit)


class Broken:
    """A body whose client disconnects."""

    def read(self, limit: int) -> bytes:
        raise ConnectionError("the client left")


def request(target: str = "/shop", base: str = "/shop", **kwargs: Any) -> Request:
    headers = kwargs.pop("headers", [])
    return Request("GET", target, base, headers, **kwargs)


def post(content: bytes, content_type: str = "") -> Request:
    headers = [("content-type", content_type)] if content_type else []
    return Request("POST", "/", "", headers, body=Source(content))


# The line and its parts


@pytest.mark.parametrize(
    ("target", "base", "path"),
    [
        ("/shop", "/shop", "/"),
        ("/shop/", "/shop", "/"),
        ("/shop?a=b", "/shop", "/"),
        ("/shop@1/a%20b%2Fc?x=/y", "/shop@1", "/a b/c"),
        ("/%40a/b/c", "/%40a/b", "/c"),
        ("/a/%C3%A9+", "", "/a/é+"),
        ("/a/%ff%zz", "", "/a/\ufffd%zz"),
        ("*", "", "/*"),
        ("/a//b", "/a", "//b"),
    ],
)
def test_path(target: str, base: str, path: str) -> None:
    """The path is what follows the base, decoded, without the query, starting with "/"."""
    assert request(target, base).path == path


def test_query() -> None:
    """The query is decoded, in order, with repeats and blank values."""
    query = request("/shop?a=1&b=x+y%26&a=2&c&d=?").query
    assert query.items() == [("a", "1"), ("b", "x y&"), ("a", "2"), ("c", ""), ("d", "?")]
    assert (query["a"], query.getall("a"), query.get("z")) == ("1", ["1", "2"], None)
    assert request("/shop").query.items() == []


def test_query_that_is_not_utf_8() -> None:
    """A query with other bytes is still readable, since an app does not choose its links."""
    assert request("/shop?a=%ff").query["a"] == "\ufffd"


def test_headers_and_cookies() -> None:
    """Headers are found in any case, cookies by name."""
    asked = request(headers=[["cookie", "a=1; b=2"], ["accept", "x"], ["accept", "y"]])
    assert (asked.headers["Accept"], asked.headers.getall("ACCEPT")) == ("x", ["x", "y"])
    assert asked.cookies == {"a": "1", "b": "2"}


def test_computed_once() -> None:
    """What is computed from the line and the headers is computed only once."""
    asked = request("/shop/a?b=c")
    assert asked.headers is asked.headers
    assert asked.query is asked.query
    assert asked.cookies is asked.cookies
    assert type(Request.path).__name__ == "cached_property"


def test_addresses() -> None:
    """client is a tuple, though the channel sends lists, or None behind a unix socket."""
    assert request(client=["10.0.0.1", 5000]).client == ("10.0.0.1", 5000)
    assert request().client is None


@pytest.mark.parametrize(
    ("headers", "scheme", "server", "url"),
    [
        ([("host", "a.example:81")], "http", ("10.0.0.1", 8000), "http://a.example:81/shop?x"),
        ([], "http", ["10.0.0.1", 8000], "http://10.0.0.1:8000/shop?x"),
        ([], "http", ("10.0.0.1", 80), "http://10.0.0.1/shop?x"),
        ([], "https", ("::1", 443), "https://[::1]/shop?x"),
        ([], "https", None, "https://localhost/shop?x"),
    ],
)
def test_url(headers: list[tuple[str, str]], scheme: str, server: Any, url: str) -> None:
    """The URL has the host that the client named, otherwise the server's address."""
    asked = request("/shop?x", headers=headers, scheme=scheme, server=server)
    assert asked.url == url
    assert asked.host == url.split("/")[2]


def test_plain_attributes() -> None:
    """All other attributes are as given, with no params until a route fills them."""
    asked = request("/shop", id="r1", scheme="https")
    assert (asked.method, asked.base, asked.id, asked.scheme) == ("GET", "/shop", "r1", "https")
    assert asked.params == {}
    assert repr(asked) == "<Request GET /shop>"


# The body


def test_no_body() -> None:
    """Without a body there is nothing to read, however often one tries."""
    asked = request()
    assert [asked.bytes(), asked.text(), list(asked.stream()), list(asked.stream())] == [
        b"",
        "",
        [],
        [],
    ]


READERS: dict[str, Callable[[Request], Any]] = {
    "bytes": lambda asked: asked.bytes(),
    "text": lambda asked: asked.text(),
    "json": lambda asked: asked.json(),
    "form": lambda asked: asked.form().items(),
    "stream": lambda asked: list(asked.stream()),
}
FORM_TYPE = "application/x-www-form-urlencoded"


@given(st.lists(st.sampled_from(sorted(READERS)), min_size=1))
def test_any_order(names: list[str]) -> None:
    """Once the body is kept, it can be read in any order and form, and repeatedly."""
    expected = {
        "bytes": b"12",
        "text": "12",
        "json": 12,
        "form": [("12", "")],
        "stream": [b"12"],
    }
    asked = Request("POST", "/", "", [("content-type", FORM_TYPE)], body=Source(b"1", b"2"))
    asked.bytes()
    assert [READERS[name](asked) for name in names] == [expected[name] for name in names]


@pytest.mark.parametrize("name", sorted(READERS))
def test_after_the_stream(name: str) -> None:
    """A body that was streamed is gone, and the error says what to do."""
    asked = post(b"12", FORM_TYPE)
    assert b"".join(asked.stream()) == b"12"
    with pytest.raises(RuntimeError, match=r"already read by stream\(\).* first"):
        READERS[name](asked)


def test_large_pieces() -> None:
    """A stream asks for at most 64 KiB at once."""
    pieces = list(post(b"x" * 150_000).stream())
    assert [len(piece) for piece in pieces] == [65536, 65536, 18928]


def test_failed_reading_is_not_a_short_body() -> None:
    """After a failed read, the rest is not returned as if it were the whole."""
    asked = Request("POST", "/", "", [], body=Broken())
    with pytest.raises(ConnectionError):
        asked.bytes()
    with pytest.raises(RuntimeError, match="reading it failed"):
        asked.bytes()


@pytest.mark.parametrize(
    ("content", "content_type", "text"),
    [
        ("é".encode(), "", "é"),
        ("é".encode(), "text/plain", "é"),
        ("é".encode(), "text/plain; charset=UTF-8", "é"),
        (b"\xe9", 'text/plain; charset="iso-8859-1"', "é"),
    ],
)
def test_text(content: bytes, content_type: str, text: str) -> None:
    """Text is decoded with its charset, UTF-8 by default."""
    assert post(content, content_type).text() == text


@pytest.mark.parametrize(
    ("content", "content_type", "says"),
    [
        (b"\xff", "", "not utf-8: invalid start byte at byte 0"),
        (b"a", "text/plain; charset=klingon", "charset 'klingon' is unknown"),
        (b"a", "text/plain; charset=punycode", "charset 'punycode' is unknown"),
        (b"a", "text/plain; charset=hex", "charset 'hex' is unknown"),
        (b"a", "text/plain; charset", "malformed"),
    ],
)
def test_bad_text(content: bytes, content_type: str, says: str) -> None:
    """Text that cannot be decoded is the client's fault."""
    with pytest.raises(BadBody, match=says):
        post(content, content_type).text()


def test_json() -> None:
    """JSON is read whatever the content type is, in any encoding of Unicode."""
    assert post(b'{"a": [1, null]}').json() == {"a": [1, None]}
    assert post('"é"'.encode("utf-16")).json() == "é"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1,]", b"[" * 200_000])
def test_bad_json(content: bytes) -> None:
    """Malformed JSON is the client's fault, however it is malformed."""
    with pytest.raises(BadBody, match="JSON"):
        post(content).json()


def test_form() -> None:
    """A form of either content type gives text and files."""
    assert post(b"a=1&a=2", FORM_TYPE).form().getall("a") == ["1", "2"]
    body = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\n\r\n\xff\r\n--x--'
    form = post(body, "multipart/form-data; boundary=x").form()
    assert form["f"] == File("a.bin", "application/octet-stream", b"\xff")


# The async twin


def test_async_readers() -> None:
    """An async request has the same names to await, in any order and repeatedly."""

    async def read() -> list[Any]:
        body = AsyncSource(b"1", b"2")
        asked = AsyncRequest("POST", "/a", "", [("content-type", FORM_TYPE)], body=body)
        return [
            await asked.json(),
            await asked.text(),
            (await asked.form()).items(),
            await asked.bytes(),
            [piece async for piece in asked.stream()],
            await asked.json(),
            asked.path,
        ]

    assert asyncio.run(read()) == [12, "12", [("12", "")], b"12", [b"12"], 12, "/a"]


def test_async_stream() -> None:
    """An async stream gives the pieces as they arrive, once."""

    async def read() -> list[bytes]:
        asked = AsyncRequest("POST", "/", "", [], body=AsyncSource(b"a", b"b"))
        pieces = [piece async for piece in asked.stream()]
        with pytest.raises(RuntimeError, match="already read"):
            asked.stream()
        with pytest.raises(RuntimeError, match="already read"):
            await asked.bytes()
        return pieces

    assert asyncio.run(read()) == [b"a", b"b"]


def test_async_without_body() -> None:
    """An async request without a body reads as empty."""

    async def read() -> tuple[bytes, list[bytes]]:
        asked = AsyncRequest("GET", "/", "", [])
        return await asked.bytes(), [piece async for piece in asked.stream()]

    assert asyncio.run(read()) == (b"", [])


def test_async_errors() -> None:
    """A client's fault is also one in an async request."""

    async def read() -> None:
        await AsyncRequest("POST", "/", "", [], body=AsyncSource(b"{")).json()

    with pytest.raises(BadBody, match="not JSON"):
        asyncio.run(read())


# Where it runs

MAIN_PATHS = """
import sys
sys.path.insert(0, sys.argv[1])
from buntime import Headers, Request, Response
heavy = sorted(set(sys.argv[2].split(",")) & set(sys.modules))
assert not heavy, f"import buntime loads {heavy}"

class Source:
    def __init__(self, content):
        self.content = content
    def read(self, limit):
        piece, self.content = self.content[:limit], self.content[limit:]
        return piece

kind = "multipart/form-data; boundary=x"
part = b'--x\\r\\nContent-Disposition: form-data; name="a"; filename="b"\\r\\n\\r\\nc\\r\\n--x--'
asked = Request("POST", "/s/%C3%A9?q=1&q=%32", "/s", [["content-type", kind], ["cookie", "a=1"]],
                client=["::1", 1], body=Source(part))
assert (asked.path, asked.query.getall("q"), asked.cookies) == ("/\\xe9", ["1", "2"], {"a": "1"})
assert asked.form()["a"].data == b"c" and "--x" in asked.text()
assert Request("POST", "/", "", [], body=Source(b"[1]")).json() == [1]
response = Response.json({"a": 1})
response.set_cookie("a", "b", max_age=1)
assert response.body == b'{"a":1}' and len(response.headers) == 2
assert list(Response(x for x in "ab").body) == [b"a", b"b"]
file = Response.file(sys.argv[1] + "/buntime/sdk/request.py", filename="\\xe9")
assert len(b"".join(file.body)) == int(file.headers["content-length"])
print("fine")
"""


def interpreters() -> list[str]:
    """Our own interpreter, and the oldest supported one if it is installed."""
    of_pyenv = Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9")
    candidates = filter(None, [*map(str, of_pyenv), shutil.which("python3.9")])
    for python in candidates:
        # pyenv's python3.9 on the PATH may be a stub that fails, so it has to run.
        if not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
            return [sys.executable, python]
    return [sys.executable]


@pytest.mark.parametrize("python", interpreters())
def test_light_and_old(python: str) -> None:
    """Apps start without heavy standard library modules, also on Python 3.9."""
    options = ["-I", "-S", "-B", "-W", "error"]
    command = [python, *options, "-c", MAIN_PATHS, str(ROOT), ",".join(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.mark.parametrize("address", [("192.0.2.1", 5), None])
@pytest.mark.parametrize("body", [None, Source(b"hi")])
def test_one_that_was_received(address: Any, body: Any) -> None:
    """It is as one that was made by hand: it has the same attributes with the same values."""
    head: dict[str, Any] = {
        "method": "GET",
        "target": "/shop/?a=1",
        "base": "/shop",
        "headers": [["host", "a"]],
        "scheme": "https",
        "client": address and [*address],
        "server": address and [*address],
        "request_id": "an-id",
    }
    waiter: Any = object()
    received = Request._received(head, body, waiter)
    more = {name: head[name] for name in ("scheme", "client", "server")}
    made = Request("GET", "/shop/?a=1", "/shop", head["headers"], id="an-id", body=body, **more)
    made._are_checked, made._waiter = True, waiter
    assert vars(received) == vars(made)
    assert received.headers.items() == [("host", "a")]
