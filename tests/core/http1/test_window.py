"""How much of a body may be in transit between a client and a worker."""

from itertools import pairwise, zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.errors import ClientFault
from buntime.core.http1.head import HeadParser, Limits
from buntime.core.http1.reader import RequestReader
from buntime.core.http1.window import DownloadWindow, UploadWindow
from buntime.wire import (
    DOWNLOAD_WINDOW,
    DOWNLOAD_WINDOW_MAX,
    MAX_PAYLOAD,
    UPLOAD_WINDOW,
    UPLOAD_WINDOW_MAX,
)

# Answers


class Line:
    """A worker that sends all it may, and a client that takes `takes` bytes at a time."""

    def __init__(self) -> None:
        self.window = DownloadWindow()
        self.credit = DOWNLOAD_WINDOW
        self.pending_bytes = 0
        self.unreturned_bytes = 0

    def pass_on(self, takes: int) -> None:
        """The worker sends a piece if it may, and the client takes some of what is pending."""
        size = min(self.credit, MAX_PAYLOAD)
        self.credit -= size
        self.window.on_sent(size)
        self.pending_bytes += size
        self.unreturned_bytes += size
        self.pending_bytes -= min(self.pending_bytes, takes)
        credit = self.window.on_taken(self.pending_bytes)
        if credit is not None:
            assert credit >= 0
            self.credit += credit
            self.unreturned_bytes = self.pending_bytes

    @property
    def width(self) -> int:
        return self.credit + self.unreturned_bytes


def test_a_client_that_takes_all_gets_a_wide_window() -> None:
    """While nothing is pending for the client, the window grows up to its limit."""
    line = Line()
    sizes = []
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
        sizes.append(line.width)
    assert sizes == sorted(sizes)
    assert sizes[0] > DOWNLOAD_WINDOW
    assert sizes[-1] == DOWNLOAD_WINDOW_MAX


def test_a_worker_that_sends_more_than_its_credit() -> None:
    """A worker that exceeds its credit, even by one byte, is refused before anything counts."""
    for over in (1, 10**12):
        window = DownloadWindow()
        window.on_sent(DOWNLOAD_WINDOW)
        with pytest.raises(ValueError, match=f"^{over} bytes beyond its credit"):
            window.on_sent(over)
        assert window.on_taken(0) is not None
        window.on_sent(DOWNLOAD_WINDOW)


def test_a_slow_client_gets_a_narrow_window() -> None:
    """A client that does not take all at once keeps the first window, and no more is pending."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=10_000)
        assert line.width == DOWNLOAD_WINDOW
        assert line.pending_bytes <= DOWNLOAD_WINDOW


def test_a_window_becomes_narrow_again() -> None:
    """If a fast client becomes slow, its window soon shrinks to that of other slow clients."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
    for _ in range(200):
        line.pass_on(takes=10_000)
    assert line.width == DOWNLOAD_WINDOW
    line.pass_on(takes=DOWNLOAD_WINDOW)
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
    assert line.width == DOWNLOAD_WINDOW_MAX


def test_nothing_more_for_a_client_that_takes_nothing() -> None:
    """If its client has stopped reading, a worker may send one window, then it waits."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=0)
    assert (line.credit, line.pending_bytes) == (0, DOWNLOAD_WINDOW)


@given(steps=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 100_000)), max_size=40))
def test_a_worker_waits_for_its_client_where_it_has_no_credit(steps: list[tuple[int, int]]) -> None:
    """The window is full exactly when the worker has no credit, whatever is sent and taken."""
    line = Line()
    for sends, takes in steps:
        size = min(line.credit, sends)
        line.credit -= size
        line.window.on_sent(size)
        line.pending_bytes += size
        line.pending_bytes -= min(line.pending_bytes, takes)
        assert line.window.is_full == (line.credit == 0)
        line.credit += line.window.on_taken(line.pending_bytes) or 0
        assert line.window.is_full == (line.credit == 0)


# Requests


def reader_of(body: bytes, framing: str) -> RequestReader:
    """A reader that has read this request's head."""
    reader = RequestReader(HeadParser(Limits()))
    reader.receive(f"POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode() + body)
    assert reader.next_head() is not None
    return reader


def test_the_first_piece_costs_credit() -> None:
    """The part of the body that goes with the request uses up credit of the first window."""
    upload = UploadWindow(reader_of(b"01234", "Content-Length: 10"), 10, awaits_continue=False)
    assert (upload.open(), upload.credit_bytes) == (b"01234", UPLOAD_WINDOW - 5)
    assert upload.wants_data
    assert upload.next_piece() is None


def test_a_client_that_asks_first_is_told_once() -> None:
    """There is no credit before the worker's first grant, which sends 100 Continue."""
    upload = UploadWindow(reader_of(b"", "Content-Length: 10"), 10, awaits_continue=True)
    assert (upload.open(), upload.wants_data) == (b"", False)
    assert [upload.grant(100), upload.grant(100)] == [True, False]
    assert upload.wants_data


def test_a_body_that_has_come_unasked_needs_no_continue() -> None:
    """If the whole body has come unasked, no 100 Continue is sent."""
    upload = UploadWindow(reader_of(b"0123456789", "Content-Length: 10"), 10, awaits_continue=True)
    assert (upload.open(), upload.has_ended) == (b"0123456789", True)
    assert not upload.grant(100)


def test_the_end_of_chunks_is_an_empty_piece() -> None:
    """A chunked body may end after its last byte; the end is then reported by an empty piece."""
    reader = reader_of(b"5\r\n01234\r\n", "Transfer-Encoding: chunked")
    upload = UploadWindow(reader, 10, awaits_continue=False)
    upload.open()
    reader.receive(b"0\r\n\r\n")
    assert (upload.next_piece(), upload.has_ended) == (b"", True)
    assert upload.next_piece() is None


def test_a_body_beyond_its_limit_is_refused() -> None:
    """If no length was announced, bytes are counted as they come, and too many are refused."""
    reader = reader_of(b"5\r\n01234\r\n", "Transfer-Encoding: chunked")
    upload = UploadWindow(reader, 9, awaits_continue=False)
    upload.open()
    reader.receive(b"5\r\n56789\r\n")
    with pytest.raises(ClientFault, match="larger than 9 bytes"):
        upload.next_piece()


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=200_000), max_size=5),
    grants=st.lists(st.integers(0, 200_000), max_size=10),
)
def test_nothing_goes_beyond_the_credit(pieces: list[bytes], grants: list[int]) -> None:
    """The body arrives whole and in order, and never more of it than was granted. Of a single
    grant, no more counts than a worker may have."""
    body = b"".join(pieces)
    reader = reader_of(b"", f"Content-Length: {len(body) + 1}")
    upload = UploadWindow(reader, len(body) + 1, awaits_continue=False)
    passed, granted = upload.open(), UPLOAD_WINDOW
    for piece, credit in zip_longest(pieces, grants, fillvalue=None):
        if piece is not None:
            reader.receive(piece)
        if credit is not None:
            upload.grant(credit)
            granted = min(granted + credit, len(passed) + UPLOAD_WINDOW_MAX)
        while (data := upload.next_piece()) is not None:
            assert len(data) <= MAX_PAYLOAD
            passed += data
        assert upload.credit_bytes == granted - len(passed) >= 0
    assert passed == body[:granted]
    assert upload.seen_bytes == len(passed)


class App:
    """A worker that reads as `worker/exchange.py` does."""

    def __init__(self, upload: UploadWindow, first: bytes) -> None:
        self.upload = upload
        self.untaken = len(first)
        self.consumed = 0
        self.read = 0
        self.is_asked = False
        self.waits = False

    def on_body(self, data: bytes, end: bool) -> None:
        self.untaken += len(data)
        self.waits = False

    def take(self, limit: int) -> None:
        """Read once; if there is nothing, wait and do nothing else until there is."""
        if not self.is_asked:
            self.is_asked = True
            self.upload.grant(UPLOAD_WINDOW)
        size = min(limit, self.untaken)
        self.untaken -= size
        self.consumed += size
        self.waits = size == 0
        self.read += size
        if self.consumed >= UPLOAD_WINDOW // 2:
            self.upload.grant(self.consumed)
            self.consumed = 0
        if self.waits:
            self.upload.on_waits(self.read)


@given(
    first=st.integers(0, 70_000),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 100_000)), max_size=40),
)
def test_a_client_is_awaited_where_the_app_waits(first: int, steps: list[tuple[bool, int]]) -> None:
    """A client is awaited only while the app waits for data and does nothing else."""
    reader = reader_of(b"x" * first, "Content-Length: 10000000")
    upload = UploadWindow(reader, 10_000_000, awaits_continue=False)
    app = App(upload, upload.open())
    for is_sent, size in steps:
        if is_sent:
            reader.receive(b"x" * size)
        elif not app.waits:
            app.take(size)
        while upload.hand_on(app.on_body):
            pass
        assert upload.is_awaited == app.waits


# Before a worker has the request


def gathering(body: bytes, framing: str, max_bytes: int = 1_000_000) -> UploadWindow:
    upload = UploadWindow(reader_of(body, framing), max_bytes, awaits_continue=True)
    upload.begin_gathering()
    return upload


@given(
    body=st.binary(max_size=300_000),
    cuts=st.lists(st.integers(0, 400_000), max_size=6),
    is_chunked=st.booleans(),
)
def test_what_was_gathered_is_handed_on(body: bytes, cuts: list[int], is_chunked: bool) -> None:
    """A gathered body is handed on whole and in order: first a window at most, then as it comes."""
    framing, raw = f"Content-Length: {len(body)}", body
    if is_chunked:
        framing, raw = "Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        raw = raw if body else b"0\r\n\r\n"
    if not raw:
        return
    reader = reader_of(b"", framing)
    upload = UploadWindow(reader, len(body), awaits_continue=True)
    upload.begin_gathering()
    told: list[bool] = []
    edges = [0, *sorted(min(each, len(raw)) for each in cuts), len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(edges)]
    while pieces and not upload.is_gathered:
        reader.receive(pieces.pop(0))
        assert upload.is_awaited
        while upload.hand_on(lambda data, enough: told.append(enough)):
            pass
        assert reader.gathered_bytes <= UPLOAD_WINDOW
        assert upload.wants_data == (not upload.is_gathered)
    assert upload.is_gathered == (told[-1] if told else False)
    upload.end_gathering()
    assert not upload.wants_data
    passed = [upload.open()]
    upload.grant(1_000_000)
    while True:
        if pieces:
            reader.receive(pieces.pop(0))
        while upload.hand_on(lambda data, _: passed.append(data)):
            pass
        if not pieces:
            break
    assert b"".join(passed) == body
    assert (upload.has_ended, upload.seen_bytes) == (True, len(body))


def test_a_body_too_large_is_refused_while_it_is_gathered() -> None:
    """If a body turns out too large while it is gathered, a worker gets nothing of it."""
    upload = gathering(b"5\r\n01234\r\n", "Transfer-Encoding: chunked", max_bytes=4)
    with pytest.raises(ClientFault, match="larger than 4 bytes"):
        upload.hand_on(lambda data, enough: None)


def test_tiny_chunks_are_gathered_in_turns() -> None:
    """Many tiny chunks are handled a share per turn while gathering, as when they are handed on."""
    upload = gathering(b"1\r\nx\r\n" * 10_000, "Transfer-Encoding: chunked")
    counts = [upload.hand_on(lambda data, enough: None) for _ in range(3)]
    assert counts == [8, 8, 8]
