"""The channel between runtime and worker: JSON lines, each with an optional raw payload.

A message is one line of UTF-8 JSON ending in "\\n"; if it has a `size` above zero, that many raw
bytes follow the line. Both sides use this module; it does no I/O.

    INIT       R->W  type name version dir entrypoint base config env path prefix development
                     worker concurrency user (null, or uid gid groups to become) sandbox (null,
                     or the rights to give up, see core/sandbox/order.py) tells_busy tells_files
                     [tells_framework] [tells_imports] [uses] [plugin] [secrets] [program]
    PREPARE    R->W  type, and the part of the sandbox to set up before INIT, see the same module
    UP         W->R  type
    READY      W->R  type kind concurrency is_async boot_ms [files] [framework] [imports]
                     [hooks services]
    REQUEST    R->W  type id method target base scheme version client server headers request_id
                     [size] end
    BODY       both  type id size end
    WINDOW     both  type id credit
    WAITS      W->R  type id read credit
    RESPONSE   W->R  type id status headers [size] end
    CANCEL     both  type id reason
    ERROR      W->R  type [id] message stack [advice]
    FAULT      W->R  type id method target message stack advice
    ACCEPT     W->R  type id subprotocol headers open_ended
    MESSAGE    both  type id kind [size] end
    CLOSE      both  type id code reason end
    BUSY       W->R  type share
    HOOK       R->W  type id hook request [response] timeout_ms [size] [end], and [shared]
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
window of an answer, to at most `DOWNLOAD_WINDOW_MAX`, while its client reads at once. A worker that
sends more than its credit has broken the protocol, and is ended.

WAITS says that the app has read this many bytes of a request's body and does nothing but wait for
more. It lets the runtime distinguish a slow client from an app that hangs. It is not sent at the
end of a body, and at most once between two BODY. Its `credit`, from 0, counts as that of a WINDOW:
an app that takes each piece at once then sends one message for it instead of two.

INIT of an app with secrets has `secrets`: their values by name, and the names of the hidden ones,
which are in no environment.

A WebSocket is a REQUEST with `upgrade`: the worker sends ACCEPT, or a RESPONSE that denies it. With
`open_ended` it no longer counts towards the worker's concurrency, because it has no thread there. A
MESSAGE carries a piece of one WebSocket message, the last one with `end`, and costs its size and
MESSAGE_OVERHEAD of the same credit. A CLOSE from the runtime says that nothing more comes, and with
`end` that nothing more can be sent. A CLOSE from the worker says that the app has closed, and with
`end` that its handler has returned.

BUSY reports, from 0 to 1, for what share of the last tenth of a second the worker was busy: its
event loop, or for a sync app its processor. With `tells_busy` it is sent every tenth of a second
while the worker has work, and once more when it has become idle.

REQUEST and RESPONSE may have a second object too, of fields that came lately, but x-request-id.
Every REQUEST is ended by exactly one RESPONSE, BODY or CLOSE from the worker with `end` true, or by
one ERROR with its id; this holds after a CANCEL, too. A FAULT reports what the handler of a request
raised after its end: Starlette answers each error, and then raises it.

Programs. If INIT has `program`, a list of words, the worker becomes that program by exec, and the
channel ends.

Plugins. INIT has `plugin` for a plugin's process: name, config (its options), runtime (version,
api, environment), uses. For an app that calls services it has `uses`, their names. READY names the
`hooks` of the module, and its `services`: {name: [exposed methods]}.

HOOK asks a plugin; its `id` is from the same counter as those of REQUEST. `hook` is on_request,
on_response, on_server_start or on_shutdown. on_init runs before READY without a HOOK, and its
failure is an ERROR of the start. `request` has method, path (below the base, decoded), query,
headers, client, scheme, host, app, version, base, identity, isPublic, isWebSocket, requestId;
query, client, app, version, identity and whatever is false may be missing. What many requests
share follows as a second object on the line, which the worker keeps decoded: it is `shared` of the
message, and nothing may change it; fields of `request` come before those in it. For on_response,
`response` has status and headers. A body, if the manifest asks for it, is the payload, and with
`end` false continues in BODY as that of a REQUEST does. A CANCEL with the id abandons a hook.
Each HOOK is ended by exactly one VERDICT, or by the last BODY after one; `action` is

    continue   headers {name: value, or null to remove it}, path, app, identity (an object),
               cacheS, vary, anyPath, tags, until (seconds since 1970); each may be missing
    respond    status, headers [[name, value]...], end: a response with its body, as in RESPONSE
    change     on_response: status and all headers, which replace those that it was shown
    done       on_server_start, on_shutdown
    failed     error, traceback: it raised, or returned something that is not a verdict

NOTICE informs a plugin of an event, and is not answered; `dropped` counts the notices that were
left out before it. `data` depends on `notice`:

    on_worker_spawn      worker ("w3") pid app plugin (names; one is null) version (or null)
                         ephemeral (ttl 0)
    on_worker_terminate  the same, how ("exit code 3") expected (the runtime ended it)
    on_apps_changed      [{name version}...], all apps, at most 1,000
    on_plugins_changed   [{name version state base services}...], all plugins, at most 1,000

A plugin gets the notices for which READY named a hook, and none before its on_server_start has
returned. A plugin sends the NOTICE `forget`, with the `tag` of verdicts to drop, and `failed` where
the hook of a notice or its last on_shutdown raised: hook, error, traceback.

CALL calls a method of a service; the callee answers with RESULT. A worker numbers its calls -1, -2
and so on, and the runtime takes numbers from the counter of REQUEST, so the sign of the id in ITEM,
WINDOW and CANCEL says whose call it is. The runtime sets `caller`. `args`, `kwargs` and `value` are
JSON, in which {"$bytes": n} represents the next n bytes of the payload; an object whose only key is
$bytes, with any number of further $ in front, gets one more $. If the JSON or the bytes are above
MAX_PAYLOAD, they follow in ITEMs: `text` is the size of the JSON, `total` that of JSON and bytes,
in as many payloads as it takes, each of MAX_PAYLOAD except the last. RESULT with `stream` begins a
stream: each value is sent in ITEMs, the first of which has `text` and `total`; an ITEM with `end`
ends the stream, and has an `error` if it broke off. An error is {code, message}. An ITEM with a
payload costs its size and MESSAGE_OVERHEAD of credit: each direction of each call begins with
CALL_WINDOW, and WINDOW grants more.
A CANCEL from the caller says that it no longer waits and takes nothing more. The callee still sends
its RESULT, or the end of its stream.
"""

from __future__ import annotations

import sys

# json.decoder imports re and with it enum: 8 of the 20 ms of CPU that a worker's start took. The
# C module below json is enough here, and its interface is the same since 3.6.
from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False  # typing costs 11 ms at a worker's start
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
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
FAULT = "FAULT"
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

# bytes. A line carries a head, never a body; it has room for 64 KiB of header fields, which
# escapes may make six times as long.
MAX_LINE = 1024 * 1024
# bytes of one payload: so many that a line's cost is negligible, so few that a channel is shared.
MAX_PAYLOAD = 64 * 1024
# bytes of credit that need not be granted. The worker's first grant of an upload, in a WINDOW or
# WAITS when the app starts to read, adds another UPLOAD_WINDOW. Half as much was half as fast.
UPLOAD_WINDOW = 128 * 1024
# bytes: the most credit that a worker has granted at any time; the runtime counts no more.
UPLOAD_WINDOW_MAX = 2 * UPLOAD_WINDOW
DOWNLOAD_WINDOW = 128 * 1024
# bytes: the most credit for an answer; the runtime widens the window of a client that reads fast.
DOWNLOAD_WINDOW_MAX = 512 * 1024
# bytes of credit that a MESSAGE costs besides its payload: empty ones take memory too.
MESSAGE_OVERHEAD = 64
# bytes of credit with which each direction of a call begins.
CALL_WINDOW = 128 * 1024
# bytes of one argument list, result or item of a stream: its receiver holds all of it at once.
CONTENT_MAX = 16 * 1024 * 1024

# The runtime asks a worker for its stacks with these signals, see worker/stacks: real-time signals
# that hardly any program uses (the last is valgrind's). macOS has none, so others serve there.
STACKS_SIGNALS: tuple[int, int]
if sys.platform == "darwin":
    STACKS_SIGNALS = (int(signal.SIGINFO), int(signal.SIGUSR2))
else:
    STACKS_SIGNALS = (int(signal.SIGRTMAX) - 1, int(signal.SIGRTMAX) - 2)
STACKS_END = b"\0"

# RLIMIT_LOCKS marks a worker and everything it starts, so that the runtime recognises them. Linux
# has not enforced this limit since 2.4.25, and only root can raise it.
MARK_LIMIT = 10
_MARK_TOP = 1 << 40


def mark_ceiling(hard: int) -> int:
    """The number from which workers' marks are counted down; `hard` is our limit, -1 for none."""
    return _MARK_TOP if hard < 0 else hard


# The most pieces of a message that are kept unjoined; each takes 34 bytes besides its content.
_PIECES_MAX = 1024
# The second objects of lines that are kept decoded, and how long each may be; all, 16 times that.
_SHARED_MAX = 100
_SHARED_MAX_CHARS = 4096


class WireError(Exception):
    """The other side broke the protocol; the channel cannot be used further."""


class _Context:
    """The defaults that json.JSONDecoder gives to its scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float  # NaN and Infinity: never sent, and harmless
    memo: dict[str, str] = {}  # noqa: RUF012  # only the scanner uses it


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} cannot be sent: {value!r}")


_scan = make_scanner(_Context)  # type: ignore[arg-type]  # any object with these attributes
# (markers, default, encoder, indent, key_separator, item_separator, sort_keys, skipkeys, allow_nan)
_make_chunks = make_encoder(
    None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False
)


quote = encode_basestring_ascii  # a string as JSON, for code that writes lines itself


def encode(message: Message) -> bytes:
    """The line of a message, newline included; its payload is sent after it, unchanged.

    >>> encode({"type": "WINDOW", "id": 7, "credit": 65536})
    b'{"type":"WINDOW","id":7,"credit":65536}\\n'
    """
    return ("".join(_make_chunks(message, 0)) + "\n").encode("ascii")


def to_json(value: object) -> bytes:
    """Encode a part of a message as `encode` does. Raises TypeError or ValueError."""
    return "".join(_make_chunks(value, 0)).encode("ascii")


def from_json(data: bytes) -> Any:
    """Decode the result of `to_json`. Raises ValueError."""
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

    def __init__(self, make: Callable[[Message], Message] | None = None) -> None:
        """`make` may change a second object when it is decoded."""
        self._shared = _Shared()
        self._shared.make = make
        self.has_more = False  # the last `feed` left complete messages for the next one
        self._pieces: list[bytes] = []  # the beginning of an incomplete message
        self._held = 0  # bytes of the pieces
        self._head: Message | None = None  # a parsed line whose payload is still incomplete

    def feed(self, data: bytes, most: int = sys.maxsize) -> list[Received]:
        """The messages that `data` completes, each with its payload (b"" where it has none).

        Returns at most `most`; if `has_more` is set then, `feed(b"")` returns the next ones.
        Raises WireError for a line that is too long, not JSON, not an object or without a type, and
        for a `size` that is not a whole number from 0 to MAX_PAYLOAD.
        """
        if not self._pieces and self._head is None and data and data.find(b"\n") + 1 == len(data):
            # Like most: one line, and nothing else.
            message = _parse(data, self._shared)
            if not message.get("size"):
                self.has_more = most == 1
                return [(message, b"")]
            self._head = message
            data = b""
        return self._feed(data, most)

    def _feed(self, data: bytes, most: int) -> list[Received]:
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
                head = _parse(data[at : end + 1], self._shared)
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
        """Whether a message may be complete now. If not, the pieces need not be joined yet.

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


class _Shared(dict[str, Message]):
    """The latest second objects, decoded, by their text. Nothing may change them."""

    make: Callable[[Message], Message] | None = None
    chars = 0

    def __missing__(self, text: str) -> Message:
        found, end = _scan(text, 0)
        if end != len(text) or type(found) is not dict:
            raise WireError(f"not an object: {text[:80]!r}")
        found = found if self.make is None else self.make(found)
        if end <= _SHARED_MAX_CHARS:
            if len(self) >= _SHARED_MAX or self.chars + end > 16 * _SHARED_MAX_CHARS:
                self.clear()
                self.chars = 0
            self.chars += end
            self[text] = found
        return found


def _parse(line: bytes, shared: _Shared) -> Message:
    """`line` ends with its newline, and has no other."""
    if len(line) > MAX_LINE:
        raise WireError(f"a line of over {MAX_LINE} bytes")
    message: Message
    try:
        text = line.decode("utf-8")
        message, end = _scan(text, 0)
        if type(message) is not dict or type(message.get("type")) is not str:
            raise WireError(f"not a message: {line[:80]!r}")
        if end + 1 != len(text):
            message = _joined(message, shared[text[end:-1]])
    except (KeyError, TypeError, ValueError, RecursionError, StopIteration) as exc:
        raise WireError(f"not a JSON line: {line[:80]!r}") from exc
    size = message.get("size", 0)
    if type(size) is not int or not 0 <= size <= MAX_PAYLOAD:
        raise WireError(f"a payload's size must be 0 to {MAX_PAYLOAD}: {line[:80]!r}")
    return message


def _joined(message: Message, shared: Message) -> Message:
    kind = message["type"]
    if kind == REQUEST:
        headers = [*shared["headers"], ["x-request-id", message["request_id"]]]
        return {**shared, **message, "headers": headers}
    if kind not in (RESPONSE, HOOK):
        raise WireError(f"not one message: {kind!r:.80}")
    return {**shared, **message} if kind == RESPONSE else {**message, "shared": shared}
