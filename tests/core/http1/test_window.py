"""How much of a body may be under way between a client and a worker."""

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

# Of an answer


class Line:
    """A worker that sends all it may, and a client that takes `takes` bytes at a time."""

    def __init__(self) -> None:
        self.window = DownloadWindow()
        self.credit = DOWNLOAD_WINDOW
        self.pending_bytes = 0
        self.unreturned_bytes = 0

    def pass_on(self, takes: int) -> None:
        """The worker sends a piece, as far as it may, and the client takes some of what waits."""
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
    """The window grows while nothing waits for the client, to its bound and no further."""
    line = Line()
    sizes = []
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
        sizes.append(line.width)
    assert sizes == sorted(sizes)
    assert sizes[0] > DOWNLOAD_WINDOW
    assert sizes[-1] == DOWNLOAD_WINDOW_MAX


def test_a_worker_that_sends_more_than_its_credit() -> None:
    """It is refused before it counts, by one byte and by many."""
    for over in (1, 10**12):
        window = DownloadWindow()
        window.on_sent(DOWNLOAD_WINDOW)
        with pytest.raises(ValueError, match=f"^{over} bytes beyond its credit"):
            window.on_sent(over)
        assert window.on_taken(0) is not None
        window.on_sent(DOWNLOAD_WINDOW)


def test_a_slow_client_gets_a_narrow_window() -> None:
    """Who does not take all at once has the first window, and no more waits for it."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=10_000)
        assert line.width == DOWNLOAD_WINDOW
        assert line.pending_bytes <= DOWNLOAD_WINDOW


def test_a_window_becomes_narrow_again() -> None:
    """A client that was fast and is slow now soon has no more than others waiting for it."""
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
    """A worker whose client has stopped reading may send its window, and then waits."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=0)
    assert (line.credit, line.pending_bytes) == (0, DOWNLOAD_WINDOW)


@given(steps=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 100_000)), max_size=40))
def test_a_worker_waits_for_its_client_where_it_has_no_credit(steps: list[tuple[int, int]]) -> None:
    """Whatever the worker sends and the client takes: the window is full exactly then."""
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


# Of a request


def reader_of(body: bytes, framing: str) -> RequestReader:
    """A reader that has read this request's head."""
    reader = RequestReader(HeadParser(Limits()))
    reader.receive(f"POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode() + body)
    assert reader.next_head() is not None
    return reader


def test_the_first_piece_costs_credit() -> None:
    """What goes with the request is part of the first window."""
    upload = UploadWindow(reader_of(b"01234", "Content-Length: 10"), 10, awaits_continue=False)
    assert (upload.open(), upload.credit_bytes) == (b"01234", UPLOAD_WINDOW - 5)
    assert upload.wants_data
    assert upload.next_piece() is None


def test_a_client_that_asks_first_is_told_once() -> None:
    """There is no credit before the worker's first grant, which is when the client may go on."""
    upload = UploadWindow(reader_of(b"", "Content-Length: 10"), 10, awaits_continue=True)
    assert (upload.open(), upload.wants_data) == (b"", False)
    assert [upload.grant(100), upload.grant(100)] == [True, False]
    assert upload.wants_data


def test_a_body_that_has_come_unasked_needs_no_continue() -> None:
    """Nothing is left to go on with."""
    upload = UploadWindow(reader_of(b"0123456789", "Content-Length: 10"), 10, awaits_continue=True)
    assert (upload.open(), upload.has_ended) == (b"0123456789", True)
    assert not upload.grant(100)


def test_the_end_of_chunks_is_an_empty_piece() -> None:
    """A body in chunks may end behind its last byte, which is to be told too."""
    reader = reader_of(b"5\r\n01234\r\n", "Transfer-Encoding: chunked")
    upload = UploadWindow(reader, 10, awaits_continue=False)
    upload.open()
    reader.receive(b"0\r\n\r\n")
    assert (upload.next_piece(), upload.has_ended) == (b"", True)
    assert upload.next_piece() is None


def test_a_body_beyond_its_limit_is_refused() -> None:
    """Bytes are counted as they come, where no length was told."""
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
    """Whatever comes and whatever is granted, in order and whole, and never more than granted.

    Of what is granted at once no more counts than a worker may.
    """
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
        """Read once; with nothing there it waits, and does nothing else before there is."""
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
    """An app that reads nothing, or reads some and does something else, is not the client's."""
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
    """Whole and in order, a window of it at most, and the rest as it comes."""
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
    """Nothing of it goes to a worker."""
    upload = gathering(b"5\r\n01234\r\n", "Transfer-Encoding: chunked", max_bytes=4)
    with pytest.raises(ClientFault, match="larger than 4 bytes"):
        upload.hand_on(lambda data, enough: None)


def test_tiny_chunks_are_gathered_in_turns() -> None:
    """Many at once are a share of a turn each, as those that are handed on."""
    upload = gathering(b"1\r\nx\r\n" * 10_000, "Transfer-Encoding: chunked")
    counts = [upload.hand_on(lambda data, enough: None) for _ in range(3)]
    assert counts == [8, 8, 8]
