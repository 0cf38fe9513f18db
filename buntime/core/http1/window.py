"""How much of a body may be on its way between a client and a worker, in either direction.

For a request's body, and for a WebSocket's messages, the worker says how much it accepts: it grants
credit, and nothing is passed on beyond that.

For an answer the worker starts with DOWNLOAD_WINDOW of credit, and gets more as the client takes
bytes. A worker that has to wait for each WINDOW is half as fast. So a client that takes everything
at once gets a wider window step by step, up to DOWNLOAD_WINDOW_MAX, and any other client the narrow
one, because whatever waits for a client takes memory. Where the worker's slot may be wanted by
others, the client gets the wide window at once, if there is memory for that. At any time

    credit of the worker + untaken bytes = DOWNLOAD_WINDOW + extra bytes

The windows also show who is waited for, the client or the app: an app waits for its client only
where its credit for the answer is used up, or where it has read all that arrived of the body and
asks for more.

Neither relies on what a worker claims. A worker that sends more than its credit has broken the
protocol: what it sent is refused before it is stored. Of the credit that a worker grants, no more
than UPLOAD_WINDOW_MAX counts, which is the most that a worker ever has granted.
"""

from collections.abc import Callable

from buntime.core.errors import ClientFault
from buntime.core.http1.reader import RequestReader
from buntime.wire import (
    DOWNLOAD_WINDOW,
    DOWNLOAD_WINDOW_MAX,
    MAX_PAYLOAD,
    MESSAGE_OVERHEAD,
    UPLOAD_WINDOW,
    UPLOAD_WINDOW_MAX,
)

PIECES_PER_TURN = 8  # per body; a body in tiny chunks comes in many small pieces
# A hint for the app's author.
_RAISE_LIMIT = "raise `maxBodySize` in the app's buntime.yaml, at most to RUNTIME_BODY_SIZE_MAX"
# Credit is returned to the worker in steps of at least this many bytes, not for each write.
_CREDIT_STEP = DOWNLOAD_WINDOW // 4
_EXTRA_MAX = DOWNLOAD_WINDOW_MAX - DOWNLOAD_WINDOW


class DownloadWindow:
    """The bytes of one answer that its client has not taken, and how many more are allowed."""

    __slots__ = ("_extra_bytes", "_untaken_bytes")

    def __init__(self) -> None:
        self._untaken_bytes = 0  # bytes for which no credit was returned
        self._extra_bytes = 0  # bytes that may be untaken beyond the first window

    def __repr__(self) -> str:
        return f"DownloadWindow({self._untaken_bytes} untaken, {self._extra_bytes} extra)"

    @property
    def is_full(self) -> bool:
        """Is all credit spent, so that the worker waits for the client?"""
        return self._untaken_bytes >= DOWNLOAD_WINDOW + self._extra_bytes

    def widen(self) -> int:
        """Allow the maximum of untaken bytes: returns the credit to grant for that, maybe 0."""
        more, self._extra_bytes = _EXTRA_MAX - self._extra_bytes, _EXTRA_MAX
        return more

    def on_sent(self, size_bytes: int) -> None:
        """The worker has used this much credit. Raises ValueError where it had less."""
        untaken_bytes = self._untaken_bytes + size_bytes
        if untaken_bytes > DOWNLOAD_WINDOW + self._extra_bytes:
            over = untaken_bytes - DOWNLOAD_WINDOW - self._extra_bytes
            raise ValueError(f"{over} bytes beyond its credit")
        self._untaken_bytes = untaken_bytes

    def on_taken(self, pending_bytes: int, spooled_bytes: int = 0) -> int | None:
        """The client has taken all but `pending_bytes`: returns the credit to return, maybe 0.

        Those of them that wait on disk count as taken, but by a client that does not keep up. None
        where it has taken too little since the last time.
        """
        taken = self._untaken_bytes - pending_bytes + spooled_bytes
        if taken < _CREDIT_STEP:
            return None
        if pending_bytes:
            change = -min(self._extra_bytes, taken)
        else:
            change = min(_CREDIT_STEP, _EXTRA_MAX - self._extra_bytes)
        self._extra_bytes += change
        self._untaken_bytes -= taken
        return taken + change


class UploadWindow:
    """A request's body on its way to a worker, or the messages of a WebSocket's client."""

    __slots__ = (
        "_awaits_continue",
        "_gather_max_bytes",
        "_gathers",
        "_read_bytes",
        "_reader",
        "credit_bytes",
        "has_more",
        "max_bytes",
        "refuse",
        "seen_bytes",
    )

    def __init__(self, reader: RequestReader, max_bytes: int, *, awaits_continue: bool) -> None:
        """`awaits_continue`: the client sends nothing until it is told to continue."""
        self._reader = reader
        self.max_bytes = max_bytes
        self.refuse: Callable[[int], ClientFault] = app_body_too_large  # a body above `max_bytes`
        self._awaits_continue = awaits_continue
        self._gathers = False
        self._gather_max_bytes = UPLOAD_WINDOW
        self._read_bytes = -1  # by the app, when it last said that it waits
        self.credit_bytes = 0
        self.seen_bytes = 0
        self.has_more = False  # pieces that have arrived wait for the next turn of the loop

    def __repr__(self) -> str:
        return f"UploadWindow({self.seen_bytes} seen, {self.credit_bytes} of credit)"

    @property
    def has_ended(self) -> bool:
        """Has the whole body been passed on?"""
        return self._reader.body_ended

    @property
    def is_wide_open(self) -> bool:
        """Has the worker granted the most that it can?"""
        return self.credit_bytes >= UPLOAD_WINDOW_MAX

    @property
    def wants_data(self) -> bool:
        """Can more of the body be passed on as soon as it arrives?"""
        return self.credit_bytes > 0 and not self._reader.body_has_come and not self.has_more

    @property
    def is_awaited(self) -> bool:
        """Is it the client that is waited for, and not the app?

        The app has read all that was passed on and asks for more, or has not received the request
        yet.
        """
        return self._gathers or (self._read_bytes == self.seen_bytes and self.wants_data)

    @property
    def is_gathering(self) -> bool:
        """Does no worker have the request yet?"""
        return self._gathers

    @property
    def is_gathered(self) -> bool:
        """Has as much of the body arrived as was to be gathered?"""
        reader = self._reader
        return reader.body_has_come or reader.gathered_bytes >= self._gather_max_bytes

    def begin_gathering(self, most_bytes: int = UPLOAD_WINDOW) -> None:
        """From now on keep what arrives, up to `most_bytes`; `hand_on` reports that more has
        arrived.

        The default is what a worker gets before it reads.
        """
        self._gathers = True
        self._gather_max_bytes = most_bytes
        self._awaits_continue = False
        self.credit_bytes = most_bytes

    def end_gathering(self) -> None:
        """`open` passes what is kept to a worker, and the rest follows as it arrives."""
        self._gathers = False
        self.credit_bytes = 0

    def open(self) -> bytes:
        """The piece that is sent with the request itself; the rest of the first window is credit.

        A client that waits for 100 Continue gets it at the app's first read, so there is no credit
        before that. Raises ClientFault as `next_piece` does.
        """
        data = self._take(MAX_PAYLOAD)
        self.credit_bytes = 0 if self._awaits_continue else UPLOAD_WINDOW - len(data)
        return data

    def grant(self, credit_bytes: int) -> bool:
        """The worker accepts this much more; returns whether to tell the client to continue."""
        self.credit_bytes = min(self.credit_bytes + credit_bytes, UPLOAD_WINDOW_MAX)
        awaits, self._awaits_continue = self._awaits_continue, False
        return awaits and not self._reader.body_ended

    def on_waits(self, read_bytes: int) -> bool:
        """The app has read this much of the body, and waits for more.

        False, with no effect, where that is not new or not possible.
        """
        if not self._read_bytes < read_bytes <= self.seen_bytes:
            return False
        self._read_bytes = read_bytes
        return True

    def next_piece(self) -> bytes | None:
        """The next piece to pass on; None where nothing has arrived, or nothing may be passed on.

        An empty piece is the end of a body in chunks. Raises ClientFault where the body is
        malformed, or larger than the app accepts.
        """
        if not self.credit_bytes or self._reader.body_ended:
            return None
        data = self._take(min(self.credit_bytes, MAX_PAYLOAD))
        if not data and not self._reader.body_ended:
            return None
        self.credit_bytes -= len(data)
        return data

    def hand_on(self, take: Callable[[bytes, bool], None]) -> int:
        """Call `take` with each of this turn's pieces and whether it is the last; returns their
        number.

        After PIECES_PER_TURN of them there may be more. Raises as `next_piece` does.
        """
        if self._gathers:
            return self._gather(take)
        for count in range(PIECES_PER_TURN):
            data = self.next_piece()
            if data is None:
                return count
            take(data, self._reader.body_ended)
        return PIECES_PER_TURN

    def on_message(self, size_bytes: int) -> None:
        """A piece of a message is passed on; the protocol has cut it to fit the credit."""
        self.credit_bytes -= size_bytes + MESSAGE_OVERHEAD
        self.seen_bytes += size_bytes

    def _gather(self, tell: Callable[[bytes, bool], None]) -> int:
        """Keep this turn's share of what has arrived, and report it and whether that is enough."""
        reader = self._reader
        count = 0
        while count < PIECES_PER_TURN and reader.gather(self._gather_max_bytes):
            count += 1
        if reader.gathered_bytes > self.max_bytes:
            raise self.refuse(self.max_bytes)
        self.credit_bytes = self._gather_max_bytes - reader.gathered_bytes
        if count or self.is_gathered:
            tell(b"", self.is_gathered)
        return count

    def _take(self, limit: int) -> bytes:
        data = self._reader.read_body(limit)
        self.seen_bytes += len(data)
        if self.seen_bytes > self.max_bytes:
            raise self.refuse(self.max_bytes)
        return data


def app_body_too_large(limit_bytes: int) -> ClientFault:
    """413 for a body that is larger than the app's `maxBodySize`."""
    return body_too_large(limit_bytes, hint=_RAISE_LIMIT)


def body_too_large(limit_bytes: int, advice: str = "", *, hint: str = "") -> ClientFault:
    """413, after which the connection is closed: the rest of the body is not read."""
    message = f"the body is larger than {limit_bytes} bytes"
    if advice:
        message = f"{message}; {advice}"
    return ClientFault(413, "body_too_large", message, closes=True, hint=hint)
