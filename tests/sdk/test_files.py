import email.utils
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import Response
from buntime.sdk.files import FileBody, disposition, http_date, type_of


def pieces(response: Response) -> list[bytes]:
    assert not response.is_async
    return list(response.body)  # type: ignore[arg-type]  # not is_async, see above


def sent(response: Response) -> bytes:
    return b"".join(pieces(response))


def test_file(tmp_path: Path) -> None:
    """A file is sent with its type, length, date and tag, in pieces of 64 KiB."""
    path = tmp_path / "a.png"
    path.write_bytes(b"x" * 150_000)
    os.utime(path, ns=(0, 784111777_000000000))
    response = Response.file(path)
    assert response.headers.items() == [
        ("content-type", "image/png"),
        ("content-length", "150000"),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("etag", f'"{784111777_000000000:x}-{150_000:x}"'),
    ]
    assert [len(piece) for piece in pieces(response)] == [65536, 65536, 18928]
    response.close()


def test_headers_of_the_app_win(tmp_path: Path) -> None:
    """A header that the app sets replaces the file's own."""
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    response = Response.file(path, 203, {"ETag": '"mine"', "x-a": "b"}, content_type="image/x")
    assert response.status == 203
    assert response.headers.getall("etag") == ['"mine"']
    assert (response.headers["content-type"], response.headers["x-a"]) == ("image/x", "b")
    response.close()


def test_deleted_after_it_was_opened(tmp_path: Path) -> None:
    """A file that is deleted before it is sent is still sent."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    response = Response.file(path)
    path.unlink()
    assert sent(response) == b"abc"


def test_sent_again(tmp_path: Path) -> None:
    """A Response can send its file any number of times, even after it was closed."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    response = Response.file(path)
    assert [sent(response), sent(response)] == [b"abc", b"abc"]
    response.close()
    response.close()
    assert sent(response) == b"abc"


def test_grown_and_shrunk(tmp_path: Path) -> None:
    """Exactly as many bytes as announced are sent; too few are an error, not a short body."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    response = Response.file(path)
    path.write_bytes(b"abcdef")
    assert sent(response) == b"abc"
    path.write_bytes(b"a")
    with pytest.raises(OSError, match="2 bytes shorter"):
        sent(response)


def test_missing_at_once(tmp_path: Path) -> None:
    """A missing file, or a folder, raises as soon as the Response is made."""
    with pytest.raises(FileNotFoundError):
        Response.file(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        Response.file(tmp_path)


def test_not_regular() -> None:
    """Anything but a regular file has no length and is refused."""
    with pytest.raises(ValueError, match="not a regular file"):
        FileBody(os.devnull)


@pytest.mark.parametrize(
    ("status", "headers", "filename"),
    [(204, None, None), (200, {"a b": "x"}, None), (200, None, "a\nb")],
)
def test_closed_where_refused(
    tmp_path: Path, status: int, headers: dict[str, str] | None, filename: str | None
) -> None:
    """A Response that cannot be made leaves no file open (a ResourceWarning is an error here)."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"status|header"):
        Response.file(path, status, headers, filename=filename)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/page.html", "text/html; charset=utf-8"),
        ("A.JS", "text/javascript; charset=utf-8"),
        ("font.woff2", "font/woff2"),
        ("a.tar.gz", "application/gzip"),
        ("a.doc", "application/msword"),
        ("a.ttf", "font/ttf"),
        ("a.opus", "audio/ogg"),
        ("a.yaml", "text/plain; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.eml", "message/rfc822"),
        ("README", "application/octet-stream"),
        ("a.b/README", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
    ],
)
def test_type_of(path: str, expected: str) -> None:
    """The type comes from the extension, in any case; text types have charset UTF-8."""
    assert type_of(path) == expected


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a b.pdf", 'attachment; filename="a b.pdf"'),
        ("ä.pdf", "attachment; filename=\"?.pdf\"; filename*=UTF-8''%C3%A4.pdf"),
        ('a"b\\c', "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("100%.txt", "attachment; filename=\"100%.txt\"; filename*=UTF-8''100%25.txt"),
    ],
)
def test_disposition(filename: str, expected: str) -> None:
    """A download has a name that every client reads, and the full one if they differ."""
    assert disposition(filename) == expected


def test_download(tmp_path: Path) -> None:
    """A filename makes the file a download."""
    path = tmp_path / "a.pdf"
    path.write_bytes(b"x")
    response = Response.file(path, filename="b.pdf")
    assert response.headers["content-disposition"] == 'attachment; filename="b.pdf"'
    response.close()


@given(st.integers(min_value=0, max_value=253402300799))
def test_http_date(seconds: int) -> None:
    """Dates are formatted as by email.utils, in the form of RFC 9110 5.6.7."""
    assert http_date(seconds) == email.utils.formatdate(seconds, usegmt=True)
