"""Credit, both ways, and what happens to a request that nobody waits for."""

import pytest

from buntime.wire import UPLOAD_WINDOW
from tests.support.workshop import Lasting, Worker, Workshop, eventually

UPLOAD = {
    "sync": """
    import time
    from buntime import Response
    def fetch(request):
        if request.path == "/ignore":
            return Response("ignored")
        total = 0
        for piece in request.stream():
            total += len(piece)
        return Response(str(total))
    """,
    "async": """
    from buntime import Response
    async def fetch(request):
        if request.path == "/ignore":
            return Response("ignored")
        total = 0
        async for piece in request.stream():
            total += len(piece)
        return Response(str(total))
    """,
    "wsgi": """
    def app(environ, start_response):
        total = 0
        if environ["PATH_INFO"] != "/ignore":
            while piece := environ["wsgi.input"].read(10_000):
                total += len(piece)
        start_response("200 OK", [])
        return [str(total).encode() if total else b"ignored"]
    """,
    "asgi": """
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        total = 0
        if scope["path"] != "/shop/ignore":
            while True:
                event = await receive()
                total += len(event["body"])
                if not event["more_body"]:
                    break
        await send({"type": "http.response.start", "status": 200})
        body = str(total).encode() if total else b"ignored"
        await send({"type": "http.response.body", "body": body})
    """,
}
DOWNLOAD = {
    "sync": """
    from buntime import Response
    def pieces():
        try:
            for n in range(40):
                print(n)
                yield b"x" * 50_000
        finally:
            print("closed")
    def fetch(request):
        return Response(pieces() if request.path == "/pieces" else b"y" * 1_000_000)
    """,
    "async": """
    from buntime import Response
    async def pieces():
        try:
            for n in range(40):
                print(n)
                yield b"x" * 50_000
        finally:
            print("closed")
    async def fetch(request):
        return Response(pieces() if request.path == "/pieces" else b"y" * 1_000_000)
    """,
    "wsgi": """
    class Pieces:
        def __iter__(self):
            for n in range(40):
                print(n)
                yield b"x" * 50_000
        def close(self):
            print("closed")
    def app(environ, start_response):
        start_response("200 OK", [])
        return Pieces() if environ["PATH_INFO"] == "/pieces" else [b"y" * 1_000_000]
    """,
    "asgi": """
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        if scope["path"] != "/shop/pieces":
            return await send({"type": "http.response.body", "body": b"y" * 1_000_000})
        try:
            for n in range(40):
                print(n)
                body = b"x" * 50_000
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            print("closed")
    """,
}


def granted(worker: Worker) -> list[int]:
    return [each["credit"] for each in worker.leftover() if each["type"] in ("WINDOW", "WAITS")]


@pytest.mark.parametrize("kind", UPLOAD)
def test_uploads_by_credit(lasting: Lasting, kind: str) -> None:
    """A body gets credit when the app begins to read, and then what the app has read, as soon as it
    waits for more."""
    worker = lasting(UPLOAD[kind])
    number = worker.request(method="POST", body=b"a" * 1000, end=False)
    assert worker.take_type("WINDOW", number)["credit"] == UPLOAD_WINDOW
    total, left = 1000, UPLOAD_WINDOW
    given: list[int] = []
    for _ in range(20):
        while left < 20_000:
            given.append(worker.take_credit(number))
            left += given[-1]
        worker.body(number, b"b" * 20_000)
        total += 20_000
        left -= 20_000
    worker.body(number, end=True)
    assert worker.answer(number).text == str(total)
    given += granted(worker)
    # No credit is returned for what was on its way when the end came.
    assert total - 2 * UPLOAD_WINDOW <= sum(given) <= total


@pytest.mark.parametrize("kind", UPLOAD)
def test_an_app_that_waits_says_so(lasting: Lasting, kind: str) -> None:
    """WAITS is sent each time the app has read all that arrived, with that amount; not at the
    end."""
    worker = lasting(UPLOAD[kind])
    number = worker.request(method="POST", end=False)
    first = worker.take_type("WAITS", number)
    assert (first["read"], first["credit"]) == (0, UPLOAD_WINDOW)
    for read in (10, 20, 30):
        worker.body(number, b"a" * 10)
        next_ = worker.take_type("WAITS", number)
        assert (next_["read"], next_["credit"]) == (read, 10)
    worker.body(number, b"a" * 10, end=True)
    assert worker.answer(number).text == "40"
    assert worker.leftover() == []


@pytest.mark.parametrize("kind", UPLOAD)
def test_ignored_upload_gets_no_credit(lasting: Lasting, kind: str) -> None:
    """A body that the app does not read gets no credit, and what still arrives of it is dropped."""
    worker = lasting(UPLOAD[kind])
    fields = {"content-length": "1004"}
    number = worker.request("/shop/ignore", "POST", fields, body=b"a" * 1000, end=False)
    assert worker.answer(number).text == "ignored"
    worker.body(number, b"late")
    worker.body(number, end=True)
    assert worker.get("/shop/ignore").text == "ignored"
    assert granted(worker) == []


@pytest.mark.parametrize("kind", UPLOAD)
def test_complete_body_asks_for_nothing(lasting: Lasting, kind: str) -> None:
    """A body that came with its request causes no WINDOW."""
    worker = lasting(UPLOAD[kind])
    assert worker.get(method="POST", body=b"a" * 60_000).text == "60000"
    assert granted(worker) == []


@pytest.mark.parametrize("kind", DOWNLOAD)
@pytest.mark.parametrize("path", ["/shop/pieces", "/shop/whole"])
def test_downloads_wait_for_credit(shop: Workshop, kind: str, path: str) -> None:
    """No more than the window is sent without credit, and all of it as credit arrives."""
    worker = shop.start(DOWNLOAD[kind])
    number = worker.request(path)
    sent = 0
    while sent < 131072:
        message, payload = worker.take(lambda m: m.get("id") == number)
        sent += len(payload)
        assert not message["end"]
    assert sent == 131072
    # Another request is answered meanwhile: credit belongs to one request.
    if kind in ("async", "asgi"):
        assert not worker.leftover()
    expected = 2_000_000 if path.endswith("pieces") else 1_000_000
    worker.send({"type": "WINDOW", "id": number, "credit": 100})
    assert len(worker.take(lambda m: m.get("id") == number)[1]) == 100
    worker.send({"type": "WINDOW", "id": number, "credit": expected})
    assert len(worker.answer(number, grants=False).body) == expected - 131072 - 100


@pytest.mark.parametrize("kind", DOWNLOAD)
def test_one_slow_client_stops_nobody(shop: Workshop, kind: str) -> None:
    """While one response waits for credit, others are answered."""
    worker = shop.start(DOWNLOAD[kind])
    worker.request("/shop/pieces")
    for _ in range(3):
        assert len(worker.get("/shop/whole").body) == 1_000_000


@pytest.mark.parametrize("concurrency", [None, 1])
@pytest.mark.parametrize("reason", ["client", "deadline"])
@pytest.mark.parametrize("kind", DOWNLOAD)
def test_cancelled_download(
    shop: Workshop, kind: str, reason: str, concurrency: int | None
) -> None:
    """A response that waits for credit ends with one ERROR when it is cancelled, and is closed."""
    worker = shop.start(DOWNLOAD[kind], concurrency=concurrency)
    number = worker.request("/shop/pieces")
    while "2\n" not in worker.stdout:
        worker.take(lambda m: m.get("id") == number)
    worker.cancel(number, reason)
    answer = worker.answer(number, grants=False)
    assert answer.error is not None
    assert answer.error.startswith("ClientGone: the ")
    assert ("deadline" in answer.error) == (reason == "deadline")
    eventually(lambda: worker.stdout.endswith("closed\n"))
    worker.cancel(number)
    assert len(worker.get("/shop/whole").body) == 1_000_000
    assert worker.leftover() == []
    assert worker.terminate() == 0
    assert worker.stderr == ""


@pytest.mark.parametrize("concurrency", [None, 1])
@pytest.mark.parametrize("kind", UPLOAD)
def test_cancelled_upload(shop: Workshop, kind: str, concurrency: int | None) -> None:
    """A handler that waits for a body gets an error when the client leaves."""
    source = UPLOAD[kind].replace('event["body"]', 'event.get("body", b"")')
    source = source.replace('if not event["more_body"]', 'if not event.get("more_body")')
    worker = shop.start(source, concurrency=concurrency)
    number = worker.request(method="POST", end=False)
    worker.take_credit(number)
    worker.cancel(number)
    answer = worker.answer(number)
    assert answer.types == ["ERROR"]
    assert answer.error == "ClientGone: the client has closed the connection"
    assert worker.get("/shop/ignore").text == "ignored"


@pytest.mark.parametrize("concurrency", [None, 1])
def test_cancel_reaches_a_slow_stream(shop: Workshop, concurrency: int | None) -> None:
    """A stream that never waits for credit notices a CANCEL at its next piece."""
    source = """
    import time
    from buntime import Response
    def pieces():
        try:
            while True:
                yield b"."
                time.sleep(0.01)
        finally:
            print("closed")
    def fetch(request):
        return Response(pieces())
    """
    worker = shop.start(source, concurrency=concurrency)
    number = worker.request()
    worker.take_type("BODY", number)
    worker.cancel(number)
    assert worker.answer(number).types[-1] == "ERROR"
    eventually(lambda: worker.stdout == "closed\n")


_NOTHINGS = """
    def pieces():
        print("begun")
        try:
            while True:
                yield b""
        finally:
            print("closed")
"""
NOTHING = {
    "fetch": f"""
    from buntime import Response
    {_NOTHINGS}
    def fetch(request):
        return Response(pieces())
    """,
    "fetch_of_known_length": f"""
    from buntime import Response
    {_NOTHINGS}
    def fetch(request):
        return Response(pieces(), headers={{"content-length": "5"}})
    """,
    "wsgi_without_body": f"""
    {_NOTHINGS}
    def app(environ, start_response):
        start_response("204 No Content", [])(b"first")
        return pieces()
    """,
    "wsgi_before_its_head": f"""
    {_NOTHINGS}
    def app(environ, start_response):
        start_response("200 OK", [])
        return pieces()
    """,
    "wsgi_behind_its_head": f"""
    {_NOTHINGS}
    def app(environ, start_response):
        start_response("200 OK", [])(b"first")
        return pieces()
    """,
    "wsgi_by_write": """
    def app(environ, start_response):
        write = start_response("200 OK", [])
        print("begun")
        try:
            while True:
                write(b"")
        finally:
            print("closed")
    """,
    "async_fetch": f"""
    from buntime import Response
    {_NOTHINGS.replace("def pieces", "async def pieces")}
    async def fetch(request):
        return Response(pieces())
    """,
    "sync_pieces_of_async_fetch": f"""
    from buntime import Response
    {_NOTHINGS}
    async def fetch(request):
        return Response(pieces())
    """,
    "asgi": """
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        print("begun")
        try:
            while True:
                await send({"type": "http.response.body", "body": b"", "more_body": True})
        finally:
            print("closed")
    """,
}


@pytest.mark.parametrize("concurrency", [None, 1])
@pytest.mark.parametrize("kind", NOTHING)
def test_a_stream_of_nothing_hears_of_it(
    shop: Workshop, kind: str, concurrency: int | None
) -> None:
    """A stream that sends empty pieces, only to ask whether the client is there, notices that it
    has left."""
    worker = shop.start(NOTHING[kind], concurrency=concurrency)
    number = worker.request()
    eventually(lambda: worker.stdout)
    worker.cancel(number)
    assert worker.answer(number).error == "ClientGone: the client has closed the connection"
    eventually(lambda: worker.stdout == "begun\nclosed\n")


def test_cancelled_async_handler(shop: Workshop) -> None:
    """An async handler's task is cancelled wherever it waits; it may take its time to clean up."""
    source = """
    import asyncio
    from buntime import Response
    async def fetch(request):
        if request.path == "/other":
            return Response("other")
        try:
            print("waiting")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            print("cleaned")
    """
    worker = shop.start(source)
    number = worker.request()
    eventually(lambda: worker.stdout)
    worker.cancel(number)
    assert worker.answer(number).error == "ClientGone: the client has closed the connection"
    assert worker.stdout == "waiting\ncleaned\n"
    # One that had not even begun.
    worker.send({"type": "IDLE"})
    number = worker.request()
    worker.cancel(number)
    assert worker.answer(number).types == ["ERROR"]
    assert worker.get("/shop/other").text == "other"
    assert worker.terminate() == 0


def test_cancelled_asgi_app_gets_its_grace(shop: Workshop) -> None:
    """An ASGI app gets http.disconnect and may finish; its send raises OSError."""
    source = """
    import asyncio
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        print(await receive())
        try:
            await send({"type": "http.response.body", "body": b"b", "more_body": True})
        except OSError as exc:
            print(exc)
        await asyncio.sleep(0.1)
        print("done")
    """
    worker = shop.start(source)
    number = worker.request()
    worker.take_type("RESPONSE", number)
    worker.cancel(number)
    assert worker.answer(number).types == ["ERROR"]
    assert worker.stdout == (
        "{'type': 'http.disconnect'}\nthe client has closed the connection\ndone\n"
    )


def test_stubborn_asgi_app_is_cancelled(shop: Workshop) -> None:
    """An ASGI app that ignores http.disconnect is cancelled after a second."""
    source = """
    import asyncio
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await asyncio.sleep(60)
    """
    worker = shop.start(source)
    number = worker.request()
    worker.cancel(number)
    assert worker.answer(number).error == "ClientGone: the client has closed the connection"


def test_cancelled_sync_handler_in_an_async_app(shop: Workshop) -> None:
    """A handler in a thread notices it when it reads."""
    source = """
    def upload(request):
        try:
            request.bytes()
        except OSError as exc:
            print(exc)
            raise
    async def other(request): ...
    routes = {"/": upload, "/other": other}
    """
    worker = shop.start(source)
    number = worker.request(method="POST", end=False)
    worker.take_credit(number)
    worker.cancel(number)
    assert worker.answer(number).types == ["ERROR"]
    eventually(lambda: "the client has closed" in worker.stdout)


def test_slow_runtime_does_not_lose_bytes(shop: Workshop) -> None:
    """What the kernel does not take at once waits, in order, and writers wait with it."""
    source = """
    from buntime import Response
    async def pieces(name):
        for n in range(2):
            yield name * 60_000
    async def fetch(request):
        return Response(pieces(request.path[1:]))
    """
    worker = shop.start(source)
    ids = {name: worker.request("/shop/" + name) for name in "abcdefghij" * 3}
    for name, number in ids.items():
        assert worker.answer(number, grants=False).text == name * 120_000
