"""Apps that have replaced threads by greenlets, as gevent and eventlet do."""

from pathlib import Path

import pytest

from tests.support import greenlets
from tests.support.workshop import Worker, Workshop

SOURCE = Path(greenlets.__file__).read_text("utf-8")
KINDS = {
    "wsgi": """
        import time
        def app(environ, start_response):
            start_response("200 OK", [])
            time.sleep(0.05)
            yield environ["wsgi.input"].read()
            yield b"two"
    """,
    "fetch": """
        import time
        from buntime import Response
        def pieces(body):
            time.sleep(0.05)
            yield body
            yield "two"
        def fetch(request):
            if request.is_cancelled():
                raise AssertionError
            return Response(pieces(request.text()))
    """,
    "events": """
        import time
        from buntime import Response
        def pieces():
            time.sleep(0.05)
            yield "two"
        def fetch(request):
            request.text()
            return Response.events(pieces(), heartbeat=0.01)
    """,
}
PATCHES = pytest.mark.parametrize("has_poll", [True, False], ids=["gevent", "eventlet"])


def start(shop: Workshop, source: str, *, has_poll: bool, ttl: int = 60) -> Worker:
    shop.write(SOURCE, "greens.py")
    lines = source.strip("\n").splitlines()
    text = "\n".join(line[8:] for line in lines)
    head = f"import greens\ngreens.patch(has_poll={has_poll})\n"
    return shop.start(head + text, config={"ttl": ttl})


@PATCHES
@pytest.mark.parametrize("kind", KINDS)
def test_requests_overlap(shop: Workshop, kind: str, *, has_poll: bool) -> None:
    """Requests are served at the same time, with their bodies, and the worker ends when told."""
    worker = start(shop, KINDS[kind], has_poll=has_poll)
    numbers = [worker.request(method="POST", end=False) for _ in range(12)]
    for number in reversed(numbers):  # each waits in its handler until then
        worker.body(number, b"one", end=True)
        assert "two" in worker.answer(number).text
    assert worker.terminate() == 0
    assert worker.stderr == ""


@PATCHES
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_of_one_request(shop: Workshop, kind: str, *, has_poll: bool) -> None:
    """The same holds with ttl 0."""
    worker = start(shop, KINDS[kind], has_poll=has_poll, ttl=0)
    assert "two" in worker.get(method="POST", body=b"one").text
    assert worker.terminate() == 0


@PATCHES
def test_what_the_app_has_started_goes_on(shop: Workshop, *, has_poll: bool) -> None:
    """A thread of the app's own, which is a greenlet then, runs while there is no request."""
    source = """
        import threading, time
        from buntime import Response
        ticked = threading.Event()
        def tick():
            time.sleep(0.02)
            ticked.set()
            print("ticked")
        threading.Thread(target=tick, daemon=True).start()
        def fetch(request):
            return Response(str(ticked.wait(10)))
    """
    worker = start(shop, source, has_poll=has_poll)
    assert worker.get().text == "True"


def test_many_at_once(shop: Workshop) -> None:
    """As many requests run at once as in an async app."""
    shop.write(SOURCE, "greens.py")
    source = "import greens\ngreens.patch(has_poll=True)\ndef fetch(request): ..."
    assert shop.boot(source).ready()["concurrency"] == 100
