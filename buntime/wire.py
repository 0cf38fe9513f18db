"""The channel between runtime and worker: JSON lines, each with an optional raw payload.

A message is one line of UTF-8 JSON ending in "\\n"; where it has a `size` above zero, so many raw
bytes follow the line. Both sides use this module; it does no I/O.

    INIT       R->W  type name version dir entrypoint base config env path prefix development
                     worker concurrency user (null, or uid gid groups to become) sandbox (null,
                     or what to do to itself, see core/sandbox/order.py) tells_busy tells_files
                     [tells_framework] [tells_imports] [uses] [plugin] [secrets] [program]
    PREPARE    R->W  type, and what to do to itself before INIT, see the same
    UP         W->R  type
    READY      W->R  type kind concurrency is_async boot_ms [files] [framework] [imports]
                     [hooks services]
    REQUEST    R->W  type id method target base scheme version client server headers request_id
                     [size] end
    BODY       both  type id size end
    WINDOW     both  type id credit
    WAITS      W->R  type id read
    RESPONSE   W->R  type id status headers [size] end
    CANCEL     both  type id reason
    ERROR      W->R  type [id] message stack
    ACCEPT     W->R  type id subprotocol headers open_ended
    MESSAGE    both  type id kind [size] end
    CLOSE      both  type id code reason end
    BUSY       W->R  type share
    HOOK       R->W  type id hook request [response] timeout_ms [size] [end]
    VERDICT    W->R  type id action, and by action: headers path app identity cacheS vary anyPath
                     tags until; status headers end [size]; error traceback
    NOTICE     R->W  type notice data [dropped]
               W->R  type notice tag
    CALL       both  type id service method (args kwargs, or text total) [caller]
                     [timeout_ms] [size]
    RESULT     both  type id ok (value, or text total, or stream, or error) [size]
    ITEM       both  type id [text total] [size] [end] [error]
    IDLE       R->W  type
    TERMINATE  R->W  type

Credit keeps one slow body from stopping the others on the same channel: a side may send at most
`UPLOAD_WINDOW` (runtime to worker) or `DOWNLOAD_WINDOW` (worker to runtime) body bytes of a
request, counted from its first message on, until a WINDOW grants more. The runtime widens the
window of an answer, to at most `DOWNLOAD_WINDOW_MAX`, while its client takes all at once. A worker
that sends more than its credit has broken the protocol, and is ended.

WAITS tells that the app has read so many bytes of a request's body, and does nothing but wait for
more: so the runtime can tell a client that is slow from an app that hangs. There is none at the end
of a body, and one at most between two BODY.

INIT of an app with secrets has `secrets`: their values by name, and the names of those that are
hidden, in no environment.

A WebSocket is a REQUEST with `upgrade`: the worker sends ACCEPT, or a RESPONSE that denies it. With
`open_ended` it does not count for the worker's concurrency any more, having no thread there. A
MESSAGE carries a piece of one WebSocket message, the last one with `end`, and costs its size and
MESSAGE_OVERHEAD of the same credit. CLOSE of the runtime: nothing more comes, with `end` nothing
more goes out; CLOSE of the worker: the app has closed, and with `end` its handler is over.

BUSY tells, from 0 to 1, for what share of the last tenth of a second the worker was busy: its event
loop or, of a sync app, its processor. With `tells_busy` it comes every tenth of a second while the
worker has something in hand, and a last time when all has become quiet.

Every REQUEST is ended by exactly one RESPONSE or BODY of the worker with `end` true, or by one
CLOSE of it with `end` true, or by one ERROR that bears its id; also after a CANCEL.

Programs. Where INIT has `program`, a list of words, the worker becomes that program by exec, and
the channel ends.

Plugins. INIT has `plugin` for the process of one: name, config (its options), runtime (version,
api, environment), uses; for an app that calls services it has `uses`, their names. READY tells
which `hooks` the module has, and its `services`: {name: [exposed methods]}.

HOOK asks a plugin, `id` being of the counter of REQUEST. `hook` is on_request, on_response,
on_server_start or on_shutdown; on_init runs before READY, unasked, and its failure is an ERROR of
the start. `request` has method, path (below the base, decoded), query, headers, client, scheme,
host, app, version, base, identity, isPublic, isWebSocket, requestId, of which query, client, app,
version, identity and what is false may be missing; for on_response `response` has status and
headers. A body, where the manifest asks for it, is the payload, and with `end`
false goes on in BODY as that of a REQUEST does. CANCEL with the id gives a hook up.
Each HOOK is ended by exactly one VERDICT, or by the last BODY behind one; `action` is

    continue   headers {name: value, or null to take it out}, path, app, identity (an object),
               cacheS, vary, anyPath, tags, until (seconds since 1970); each may be missing
    respond    status, headers [[name, value]...], end: a response with its body, as in RESPONSE
    change     on_response: status and all headers, in the place of those that it saw
    done       on_server_start, on_shutdown
    failed     error, traceback: it raised, or returned what is no verdict

NOTICE tells a plugin of what has happened, and is not answered; `dropped` counts those left out
before it. By `notice`, `data` is

    on_worker_spawn      worker ("w3") pid app plugin (names; one is null) version (or null)
                         ephemeral (ttl 0)
    on_worker_terminate  the same, how ("exit code 3") expected (it was told to end)
    on_apps_changed      [{name version}...], all that there are, of at most 1,000
    on_plugins_changed   [{name version state base services}...], the same

A plugin gets those for which READY named a hook, none before its on_server_start is over. NOTICE
of a plugin: `forget`, with the `tag` of verdicts that are to be dropped.

CALL calls a method of a service; who is called answers RESULT. A worker numbers its calls -1, -2
and so on, the runtime its own by the counter of REQUEST, so of ITEM, WINDOW and CANCEL the sign
tells whose call it is. The runtime sets `caller`. `args`, `kwargs` and `value` are JSON, in which
{"$bytes": n} stands for n bytes of the payload, in their order; an object whose one key is that,
with any number of $ in front, gets a $ more. Where the JSON or the bytes are above MAX_PAYLOAD
they follow by ITEM: `text` is the JSON's size, `total` that and of all bytes, in as many payloads
as it takes, each of MAX_PAYLOAD but the last. RESULT with `stream` begins a stream: each value by
ITEM, the first message of it with `text` and `total`, and an ITEM with `end` at last, which has an
`error` where it broke off. An error is {code, message}. ITEM costs its size and MESSAGE_OVERHEAD
of credit, and nothing where it has no payload: CALL_WINDOW to begin with, for each direction of
each call, and WINDOW for more.
CANCEL of who calls: it waits no more, and gets no more; a RESULT, or the end of its stream, of who
is called comes all the same.
"""

from __future__ import annotations

import sys

# json.decoder imports re and with it enum: 8 of the 20 ms of CPU that a worker's start took. The
# accelerator below json is all that is needed here, and has had this form since 3.6.
from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False  # typing costs 11 ms at a worker's start
if TYPE_CHECKING:
    import signal
    from typing import Any

    Message = dict[str, Any]
    Received = tuple[Message, bytes]
else:
    import _signal as signal  # `signal` imports enum, 5 ms

    Message = dict

INIT = "INIT"
PREPARE = "PREPARE"
UP = "UP"
READY = "READY"
REQUEST = "REQUEST"
RESPONSE = "RESPONSE"
BODY = "BODY"
WINDOW = "WINDOW"
WAITS = "WAITS"
CANCEL = "CANCEL"
ERROR = "ERROR"
ACCEPT = "ACCEPT"
MESSAGE = "MESSAGE"
CLOSE = "CLOSE"
BUSY = "BUSY"
HOOK = "HOOK"
VERDICT = "VERDICT"
NOTICE = "NOTICE"
CALL = "CALL"
RESULT = "RESULT"
ITEM = "ITEM"
IDLE = "IDLE"
TERMINATE = "TERMINATE"

# bytes. A line carries a head, never a body: 64 KiB of header fields escaped six-fold still fit.
MAX_LINE = 1024 * 1024
# bytes of one payload: large enough that a line's cost vanishes, small enough to share a channel.
MAX_PAYLOAD = 64 * 1024
# bytes of credit before the first WINDOW. The worker's first WINDOW of an upload, sent when the
# app starts to read, adds another UPLOAD_WINDOW. Half as much made an upload half as fast.
UPLOAD_WINDOW = 128 * 1024
# bytes of credit that a worker has out at most; the runtime takes no more for granted.
UPLOAD_WINDOW_MAX = 2 * UPLOAD_WINDOW
DOWNLOAD_WINDOW = 128 * 1024
# bytes of credit that are out at most; the runtime widens the window of who takes all at once.
DOWNLOAD_WINDOW_MAX = 512 * 1024
# bytes of credit that a MESSAGE costs beside its payload: empty ones take memory too.
MESSAGE_OVERHEAD = 64
# bytes of credit that each direction of a call begins with.
CALL_WINDOW = 128 * 1024
# bytes of one argument list, result or item of a stream: who gets it holds all of it at once.
CONTENT_MAX = 16 * 1024 * 1024

# By these the runtime asks a worker for its stacks, see worker/stacks: real-time signals that
# hardly any program uses (the last is valgrind's), or what macOS, which has none, has instead.
STACKS_SIGNALS: tuple[int, int]
if sys.platform == "darwin":
    STACKS_SIGNALS = (int(signal.SIGINFO), int(signal.SIGUSR2))
else:
    STACKS_SIGNALS = (int(signal.SIGRTMAX) - 1, int(signal.SIGRTMAX) - 2)
STACKS_END = b"\0"

# The limit by which the runtime knows what a worker has started: RLIMIT_LOCKS. Linux has not
# enforced it since 2.4.25, and who is not root cannot raise it.
MARK_LIMIT = 10
_MARK_TOP = 1 << 40


def mark_ceiling(hard: int) -> int:
    """What a worker's number is taken from, given the limit of the runtime, -1 for none."""
    return _MARK_TOP if hard < 0 else hard


# Pieces of one message that are kept before they are joined; each takes 34 bytes beside its own.
_PIECES_MAX = 1024


class WireError(Exception):
    """The other side broke the protocol; the channel cannot be used further."""


class _Context:
    """What json.JSONDecoder tells its scanner, by default."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float  # NaN and Infinity: never sent, and harmless
    memo: dict[str, str] = {}  # noqa: RUF012  # the scanner's own


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} cannot be sent: {value!r}")


_scan = make_scanner(_Context)  # type: ignore[arg-type]  # any object with these attributes
# (markers, default, encoder, indent, key_separator, item_separator, sort_keys, skipkeys, allow_nan)
_make_chunks = make_encoder(
    None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False
)


quote = encode_basestring_ascii  # a string as JSON, for lines that are written by hand


def encode(message: Message) -> bytes:
    """The line of a message, newline included; its payload is sent behind it, unchanged.

    >>> encode({"type": "WINDOW", "id": 7, "credit": 65536})
    b'{"type":"WINDOW","id":7,"credit":65536}\\n'
    """
    return ("".join(_make_chunks(message, 0)) + "\n").encode("ascii")


def to_json(value: object) -> bytes:
    """What `encode` makes of a part of a message. Raises TypeError or ValueError."""
    return "".join(_make_chunks(value, 0)).encode("ascii")


def from_json(data: bytes) -> Any:
    """Read what `to_json` has made. Raises ValueError."""
    try:
        text = data.decode("utf-8")
        value, end = _scan(text, 0)
    except (RecursionError, StopIteration) as exc:
        raise ValueError(f"not JSON: {data[:80]!r}") from exc
    if end != len(text):
        raise ValueError(f"not JSON: {data[:80]!r}")
    return value


class Decoder:
    """Turns the bytes of one direction of a channel into messages."""

    def __init__(self) -> None:
        self.has_more = False  # the last `feed` has left out complete messages
        self._pieces: list[bytes] = []  # what does not make a whole message yet
        self._held = 0  # bytes of them
        self._head: Message | None = None  # a parsed line whose payload is still incomplete

    def feed(self, data: bytes, most: int = sys.maxsize) -> list[Received]:
        """The messages that `data` completes, each with its payload (b"" where it has none).

        At most so many at once; with `has_more`, `feed(b"")` gives the next ones.
        Raises WireError for a line that is too long, not JSON, no object or without a type, and
        for a `size` that is no whole number from 0 to MAX_PAYLOAD.
        """
        if self._pieces:
            if data:
                self._pieces.append(data)
                self._held += len(data)
            if not self.has_more and not self._may_complete(data):
                return []
            data = b"".join(self._pieces)
            self._pieces.clear()
        messages: list[Received] = []
        at = 0
        head, self._head = self._head, None
        while len(messages) < most:
            if head is None:
                end = data.find(b"\n", at)
                if end < 0:
                    if len(data) - at > MAX_LINE:
                        raise WireError(f"a line of over {MAX_LINE} bytes")
                    break
                head = _parse(data[at:end])
                at = end + 1
            size = head.get("size", 0)
            if size:
                if len(data) - at < size:
                    self._head = head
                    break
                messages.append((head, data[at : at + size]))
                at += size
            else:
                messages.append((head, b""))
            head = None
        self.has_more = len(messages) == most
        if at < len(data):
            self._pieces.append(data[at:])
        self._held = len(data) - at
        return messages

    def _may_complete(self, data: bytes) -> bool:
        """Whether a message can be complete now: so what comes in bits is not joined at each.

        Raises WireError for a line that is too long.
        """
        if self._head is not None:
            return self._held >= int(self._head["size"])
        if b"\n" in data:
            return True
        if self._held > MAX_LINE:
            raise WireError(f"a line of over {MAX_LINE} bytes")
        if len(self._pieces) > _PIECES_MAX:
            self._pieces[:] = [b"".join(self._pieces)]
        return False


def _parse(line: bytes) -> Message:
    if len(line) > MAX_LINE:
        raise WireError(f"a line of over {MAX_LINE} bytes")
    try:
        text = line.decode("utf-8")
        message, end = _scan(text, 0)
    except (ValueError, RecursionError, StopIteration) as exc:
        raise WireError(f"not a JSON line: {line[:80]!r}") from exc
    if end != len(text) or type(message) is not dict or type(message.get("type")) is not str:
        raise WireError(f"not a message: {line[:80]!r}")
    size = message.get("size", 0)
    if type(size) is not int or not 0 <= size <= MAX_PAYLOAD:
        raise WireError(f"a payload's size must be 0 to {MAX_PAYLOAD}: {line[:80]!r}")
    return message
