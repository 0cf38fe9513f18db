"""What is read of a file to be cached."""

import os

from buntime.server.sites.sitefile import _read_up_to


def read(data: bytes, limit: int) -> bytes | None:
    reader, writer = os.pipe()
    try:
        os.write(writer, data)
        os.close(writer)
        return _read_up_to(reader, limit)
    finally:
        os.close(reader)


def test_up_to_the_limit() -> None:
    """A file of exactly the limit is read to its end."""
    assert read(b"", 0) == b""
    assert read(b"x" * 10, 10) == b"x" * 10
    assert read(b"x" * 10, 11) == b"x" * 10


def test_beyond_the_limit() -> None:
    """A file that has grown beyond the limit since it was measured is not cached."""
    assert read(b"x", 0) is None
    assert read(b"x" * 11, 10) is None
    assert read(b"x" * 30_000, 10) is None
