"""What apps print is split into lines, however it arrives."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.telemetry.linesplitter import LINE_BYTES, LineSplitter


def test_lines_are_split() -> None:
    """Lines end with a newline, optionally preceded by a carriage return."""
    assert LineSplitter().feed(b"one\ntwo\r\n\nthree\rfour\n") == ["one", "two", "", "three\rfour"]


def test_lines_may_come_in_pieces() -> None:
    """A line is complete when its newline has arrived, even if a character was cut in two."""
    splitter = LineSplitter()
    assert splitter.feed("h\u00e9".encode()[:2]) == []
    assert splitter.feed("h\u00e9".encode()[2:] + b"!") == []
    assert splitter.feed(b"\nnext") == ["hé!"]
    assert splitter.flush() == ["next"]


def test_flush_empties() -> None:
    """After a newline, and after a flush, there is nothing to flush."""
    splitter = LineSplitter()
    splitter.feed(b"line\nrest")
    assert (splitter.flush(), splitter.flush()) == (["rest"], [])


def test_output_that_is_passed_over() -> None:
    """Skipped lines are counted; a line that is partly skipped is skipped to its end."""
    splitter = LineSplitter()
    splitter.feed(b"begun")
    assert splitter.skip(b" here\nand\nhalf of") == 2
    assert splitter.feed(b" a line") == []
    assert splitter.feed(b", its end\nwhole\n") == ["whole"]
    assert splitter.skip(b"one\n") == 1
    assert splitter.feed(b"two\n") == ["two"]
    assert splitter.flush() == []


def test_lines_that_are_not_utf8() -> None:
    """Bytes that are not UTF-8 are shown as escapes."""
    assert LineSplitter().feed(b"\xff\xe9 ok\n") == ["\\xff\\xe9 ok"]


def test_longest_line() -> None:
    """A line of the largest size stays whole."""
    assert LineSplitter().feed(b"x" * LINE_BYTES + b"\n") == ["x" * LINE_BYTES]


def test_line_above_the_largest_size() -> None:
    """A line that does not end is split into pieces, which need no more memory than one."""
    splitter = LineSplitter()
    pieces = [piece for _ in range(100) for piece in splitter.feed(b"x" * 1000)]
    assert pieces == ["x" * LINE_BYTES] * (100_000 // LINE_BYTES)
    assert splitter.flush() == ["x" * (100_000 % LINE_BYTES)]


@pytest.mark.parametrize("char", ["é", "漢", "😀"])
def test_pieces_keep_characters_whole(char: str) -> None:
    """A long line is not cut within a character."""
    splitter = LineSplitter()
    text = "x" + char * LINE_BYTES
    assert "".join(splitter.feed(text.encode()) + splitter.flush()) == text


SOME_OUTPUT = st.lists(
    st.sampled_from(
        [b"\n", b"\r\n", b"\r", b"word", b"\xff", "é".encode(), "😀".encode() * 2000, b"x" * 9000]
    )
)


@settings(deadline=None)
@given(SOME_OUTPUT, st.lists(st.integers(0, 60_000)))
def test_lines_do_not_depend_on_chunks(output: list[bytes], cuts: list[int]) -> None:
    """However the output is cut on its way, the lines are the same, and none is too long."""
    data = b"".join(output)
    whole, pieces = LineSplitter(), LineSplitter()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    lines = [line for chunk in chunks for line in pieces.feed(chunk)] + pieces.flush()
    assert lines == whole.feed(data) + whole.flush()
    longest = max((line.replace("\\xff", "?") for line in lines), key=len, default="")
    assert len(longest.encode()) <= LINE_BYTES
