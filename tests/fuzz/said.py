"""What a hostile worker could send: messages of all types, with randomly odd fields."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

from tests.support.farend import GET, UPGRADE, FarEnd

POST = b"POST /shop/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n12"
_TYPES = (
    "UP READY RESPONSE BODY WINDOW WAITS ERROR FAULT ACCEPT MESSAGE CLOSE BUSY REQUEST INIT".split()
)
# As a worker sends them; the ids of three requests in hand, and one of none.
_USUAL: dict[str, list[Any]] = {
    "id": [1, 1, 2, 2, 3, 3, 4],
    "end": [True, False, False],
    "status": [200, 204, 304, 500],
    "headers": [[], [["content-type", "text/html"]], [["content-length", "5"]]],
    "credit": [1, 65536, 10**15],
    "read": [0, 2, 10**15],
    "kind": ["text", "bytes"],
    "code": [1000, 1005, 3000],
    "reason": ["", "x" * 500],
    "subprotocol": [None],
    "open_ended": [False, True],
    "share": [0, 0.5, 1],
    "concurrency": [8],
    "boot_ms": [1.5],
    "message": ["m"],
    "stack": ["s"],
}
# As JSON, because not all of it can be made from Python values.
_ODD = """
null true false -1 0 1 1.0 0.5 1e999 -1e999 NaN 99999999999999999999 "" "1" "\\ud800" "\\u0000"
[] {} [1] {"a":1} [[1,2]] [["a"]] [["a","b","c"]] [["set-cookie",[]]] [[[],{}]] ["ab"] {"ab":1}
"set-cookie"
[["connection",7]] [["content-type","text/html"],[1,2]] [["x\\r\\ny","z"]] 1.5e308
""".split()


def say_anything(chance: random.Random) -> FarEnd:
    """A worker that sends up to a dozen messages, about a request, an upload and a WebSocket."""
    far = FarEnd()
    service: Any = far.service
    service.websocket_message_max_bytes, service.websocket_ping_s = 1 << 20, 0.0
    service.ping_timeouts = None
    for raw in (GET, UPGRADE, POST):
        far.assign(raw, inject_base=chance.random() < 0.5)
    said = b"".join(_message(chance) * chance.choice((1, 1, 1, 2, 300)) for _ in range(12))
    for at in range(0, len(said), 50_000):
        if far.why:
            break
        with contextlib.suppress(BlockingIOError):  # the runtime may wait for a client
            far.say_raw(said[at : at + 50_000])
    return far


def _message(chance: random.Random) -> bytes:
    payload = bytes(chance.choice((0, 0, 1, 100, 30_000)))
    fields = {name: json.dumps(chance.choice(usual)) for name, usual in _USUAL.items()}
    fields["type"] = json.dumps(chance.choice(_TYPES))
    if payload:
        fields["size"] = str(len(payload))
    for name in chance.sample(sorted(fields), chance.choice((0, 0, 0, 1, 2))):
        fields[name] = _odd(chance)
    if chance.random() < 0.1:
        del fields[chance.choice(sorted(fields))]
    text = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return f"{{{text}}}\n".encode() + payload


def _odd(chance: random.Random) -> str:
    if chance.random() < 0.1:
        levels = chance.randrange(1, 1000)
        return "[" * levels + "]" * levels
    if chance.random() < 0.1:
        return "9" * chance.choice((19, 400, 4300, 5000))
    return chance.choice(_ODD)
