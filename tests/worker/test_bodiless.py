"""Answers that have no body by their status, from apps that give them one."""

import pytest

from tests.support.workshop import Lasting, Workshop

# The status is the path. A large body takes several messages.
FETCH = """
from buntime import Response
{async_}def fetch(request):
    _, status, size = request.path.split("/")
    response = Response(b"x" * int(size) if size != "pieces" else iter([b"a", b"b"]))
    response.status = int(status)
    return response
"""
WSGI = """
def app(environ, start_response):
    _, status, size = environ["PATH_INFO"].split("/")
    start_response(status + " -", [("Content-Length", "2")] if size == "pieces" else [])
    return iter([b"a", b"b"]) if size == "pieces" else [b"x" * int(size)]
"""
ASGI = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    _, _, status, size = scope["path"].split("/")
    headers = [(b"content-length", b"2")] if size == "pieces" else []
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    pieces = [b"a", b"b"] if size == "pieces" else [b"x" * int(size)]
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})
"""
APPS = {
    "fetch": FETCH.format(async_=""),
    "async-fetch": FETCH.format(async_="async "),
    "wsgi": WSGI,
    "asgi": ASGI,
}


@pytest.mark.parametrize("size", ["5", "300000", "pieces"])
@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("kind", APPS)
def test_a_body_is_dropped(lasting: Lasting, kind: str, status: int, size: str) -> None:
    """What an app gives as the body of an answer that has none is not sent, whatever its size."""
    answer = lasting(APPS[kind]).get(f"/shop/{status}/{size}")
    assert (answer.error, answer.status, answer.body) == (None, status, b"")
    assert answer.headers.get("content-length") in (None, "2")  # as the app said it, if it did


@pytest.mark.parametrize("kind", APPS)
def test_an_informational_status_is_an_error(shop: Workshop, kind: str) -> None:
    """An app cannot give a 1xx as its answer: a client would wait for another."""
    answer = shop.start(APPS[kind]).get("/shop/103/5")
    assert answer.error is not None
    assert "the status of a response is 200 to 999" in answer.error or "WSGI status" in answer.error
