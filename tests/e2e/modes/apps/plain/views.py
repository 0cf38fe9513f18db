"""What the functions and the routes of this folder serve: all that Request and Response can do."""

import hashlib
import os
from collections import defaultdict
from pathlib import Path
from threading import Event

from buntime import Headers, Request, Response

HERE = Path(__file__).parent

gates: dict[str, Event] = defaultdict(Event)
closed: list[str] = []


def seen(request: Request) -> Response:
    return Response.json(
        {
            "method": request.method,
            "url": request.url,
            "path": request.path,
            "base": request.base,
            "query": request.query.items(),
            "headers": request.headers.items(),
            "cookies": request.cookies,
            "client": request.client,
            "scheme": request.scheme,
            "host": request.host,
            "id": request.id,
            "params": request.params,
            "class": type(request).__name__,
            "worker": os.environ["WORKER_ID"],
        }
    )


# Reading


def read_bytes(request: Request) -> Response:
    body = request.bytes()
    return Response(hashlib.sha256(body).digest(), headers={"X-Size": str(len(body))})


def read_text(request: Request) -> Response:
    return Response(request.text() + request.text())


def read_json(request: Request) -> Response:
    return Response.json({"got": request.json()})


def read_form(request: Request) -> Response:
    told = []
    for name, value in request.form().items():
        if isinstance(value, str):
            told.append([name, value])
        else:
            digest = hashlib.sha256(value.data).hexdigest()
            told.append([name, value.filename, value.content_type, digest])
    return Response.json(told)


def read_stream(request: Request) -> Response:
    digest, most = hashlib.sha256(), 0
    for piece in request.stream():
        digest.update(piece)
        most = max(most, len(piece))
    return Response(digest.hexdigest(), headers={"X-Largest-Piece": str(most)})


def shout(request: Request) -> Response:
    """Sends each piece back while the next is still to come."""
    return Response(piece.upper() for piece in request.stream())


# Answering


def text(request: Request) -> Response:
    return Response("Zoë\n")


def octets(request: Request) -> Response:
    return Response(b"\x00\xff")


def nothing(request: Request) -> Response:
    return Response(None, 204)


def page(request: Request) -> Response:
    return Response.html("<p>Zoë</p>", status=203)


def made_json(request: Request) -> Response:
    location = {"Location": request.base + "/seen"}
    return Response.json({"name": "Zoë"}, status=201, headers=location)


def redirect(request: Request) -> Response:
    return Response.redirect(request.base + "/seen?from=Zoë", status=303)


def file(request: Request) -> Response:
    return Response.file(HERE / "leaf.svg")


def download(request: Request) -> Response:
    return Response.file(HERE / "leaf.svg", filename="Blätter.svg")


def cookies(request: Request) -> Response:
    answer = Response("two set, one gone\n")
    answer.set_cookie("taste", "sweet%20sour", max_age=60)
    answer.set_cookie("shape", "round", path=request.base, secure=True, same_site="Strict")
    answer.delete_cookie("old")
    return answer


def headers(request: Request) -> Response:
    several = Headers([("X-Note", "one"), ("Vary", "Accept"), ("X-Note", "two")])
    return Response("noted\n", headers=several, content_type="text/markdown")


def pieces(request: Request) -> Response:
    return Response(["Zo", "ë", b"\xff", bytearray(b"!"), memoryview(b"?"), ""])


def large(request: Request) -> Response:
    return Response(b"0123456789abcdef" * 65536)


def gated(request: Request) -> Response:
    key = request.query["key"]
    if request.method == "POST":
        gates[key].set()
        return Response("open\n")
    return Response(gated_pieces(key), content_type="text/plain")


def gated_pieces(key: str):
    try:
        yield "first\n"
        assert gates[key].wait(10), "nobody opened the gate"
        yield "second\n"
    finally:
        closed.append(key)


def which_closed(request: Request) -> Response:
    return Response.json(closed)


# Going wrong


def wrong_none(request: Request) -> None:
    return None


def wrong_text(request: Request) -> str:
    return "text"


def wrong_dict(request: Request) -> dict:
    return {"a": 1}


def wrong_tuple(request: Request) -> tuple:
    return "not found", 404


def wrong_type(request: Request) -> type:
    return Response


async def later() -> Response:
    return Response("later")


def wrong_coroutine(request: Request):
    return later()


def wrong_body(request: Request) -> Response:
    return Response(42)


def wrong_piece(request: Request) -> Response:
    return Response(piece for piece in ["text", 42])


def wrong_first_piece(request: Request) -> Response:
    return Response(piece for piece in [42])


def wrong_header(request: Request) -> Response:
    return Response("split", headers={"X-Name": "a\r\nX-Other: b"})


def wrong_cookie(request: Request) -> Response:
    answer = Response()
    answer.set_cookie("taste", "sweet & sour")
    return answer


def wrong_json(request: Request) -> Response:
    return Response.json({"a": {1, 2}})


def raises(request: Request) -> Response:
    raise LookupError("no such luck")


def exits(request: Request) -> Response:
    raise SystemExit("not today")


VIEWS = {
    "/seen": seen,
    "/bytes": read_bytes,
    "/text": read_text,
    "/json": read_json,
    "/form": read_form,
    "/stream": read_stream,
    "/shout": shout,
    "/answer/text": text,
    "/answer/octets": octets,
    "/answer/nothing": nothing,
    "/answer/page": page,
    "/answer/json": made_json,
    "/answer/redirect": redirect,
    "/answer/file": file,
    "/answer/download": download,
    "/answer/cookies": cookies,
    "/answer/headers": headers,
    "/answer/pieces": pieces,
    "/answer/large": large,
    "/answer/gated": gated,
    "/answer/closed": which_closed,
    "/wrong/none": wrong_none,
    "/wrong/text": wrong_text,
    "/wrong/dict": wrong_dict,
    "/wrong/tuple": wrong_tuple,
    "/wrong/type": wrong_type,
    "/wrong/coroutine": wrong_coroutine,
    "/wrong/body": wrong_body,
    "/wrong/piece": wrong_piece,
    "/wrong/first-piece": wrong_first_piece,
    "/wrong/header": wrong_header,
    "/wrong/cookie": wrong_cookie,
    "/wrong/json": wrong_json,
    "/wrong/raises": raises,
    "/wrong/exits": exits,
}
