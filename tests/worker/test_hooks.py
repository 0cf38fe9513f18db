"""IDLE, TERMINATE and the app's hooks for them."""

import pytest

from tests.support.workshop import Workshop, eventually

SYNC = """
from buntime import Response
def on_idle():
    print("idle")
def on_terminate():
    print("terminated")
def fetch(request):
    return Response("ok")
"""
HOOKS = {
    "sync": SYNC,
    "async": SYNC.replace("def fetch", "async def fetch"),
    "sync with async hooks": SYNC.replace("def on_", "async def on_"),
    "async with async hooks": SYNC.replace("def ", "async def "),
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_run(shop: Workshop, name: str) -> None:
    """on_idle runs at each IDLE and on_terminate at the end, sync or async, in every kind of
    app."""
    shop.forks = name != "sync"
    worker = shop.start(HOOKS[name])
    worker.send({"type": "IDLE"})
    eventually(lambda: worker.stdout == "idle\n")
    assert worker.get().text == "ok"
    worker.send({"type": "IDLE"})
    assert worker.terminate() == 0
    assert worker.stdout == "idle\nidle\nterminated\n"


@pytest.mark.parametrize("name", HOOKS)
def test_failing_hooks_are_told(shop: Workshop, name: str) -> None:
    """A hook that fails, or calls sys.exit, is reported on stderr and harms nothing."""
    source = HOOKS[name].replace('print("idle")', "exit(3)")
    source = source.replace('print("terminated")', "raise KeyError('end')")
    shop.forks = name != "sync"
    worker = shop.start(source)
    worker.send({"type": "IDLE"})
    eventually(lambda: "on_idle failed" in worker.stderr)
    assert worker.get().text == "ok"
    assert worker.terminate() == 0
    assert "on_terminate failed" in worker.stderr
    assert "KeyError: 'end'" in worker.stderr


def test_messages_without_hooks(shop: Workshop) -> None:
    """IDLE and TERMINATE do no harm to an app without hooks."""
    worker = shop.start("from buntime import Response\nfetch = lambda request: Response('ok')")
    worker.send({"type": "IDLE"})
    assert worker.get().text == "ok"
    assert worker.terminate() == 0
    assert worker.stderr == ""


@pytest.mark.parametrize("async_", ["", "async "])
def test_terminate_comes_after_requests(shop: Workshop, async_: str) -> None:
    """on_terminate runs when the last response has ended."""
    source = f"""
    from buntime import Response
    def on_terminate():
        print("terminated")
    {async_}def fetch(request):
        body = {"await " if async_ else ""}request.bytes()
        print("answered")
        return Response(body)
    """
    shop.forks = True
    worker = shop.start(source)
    number = worker.request(method="POST", end=False)
    worker.take_credit(number)
    worker.send({"type": "TERMINATE"})
    worker.upload(number, b"x" * 100_000)
    assert len(worker.answer(number).body) == 100_000
    assert worker.process.wait(20) == 0
    assert worker.stdout == "answered\nterminated\n"


@pytest.mark.parametrize("async_", ["", "async "])
def test_exit_is_the_interpreter_s(shop: Workshop, async_: str) -> None:
    """atexit functions run, threads that are not daemons are waited for, and output is flushed."""
    source = f"""
    import atexit, sys, threading, time
    from buntime import Response
    atexit.register(print, "atexit")
    def late():
        time.sleep(0.1)
        print("thread")
    {async_}def fetch(request):
        threading.Thread(target=late).start()
        sys.stdout.write("no newline ")
        return Response("ok")
    """
    worker = shop.start(source)
    worker.get()
    assert worker.terminate() == 0
    assert worker.stdout == "no newline thread\natexit\n"


def test_exit_does_not_wait_for_ever(shop: Workshop) -> None:
    """A thread that never ends delays a worker's exit by two seconds, and is reported."""
    source = """
    import threading, time
    threading.Thread(target=time.sleep, args=(60,), name="sweeper").start()
    threading.Thread(target=time.sleep, args=(60,), name="other", daemon=True).start()
    def fetch(request): ...
    """
    worker = shop.start(source)
    assert worker.terminate() == 0
    assert "the app's threads did not end within 2.0 s: sweeper; end them in on_t" in worker.stderr


def test_tasks_are_cancelled_at_the_end(shop: Workshop) -> None:
    """Tasks that an async app has started are cancelled when it ends, and may clean up."""
    source = """
    import asyncio
    from buntime import Response
    async def background():
        try:
            await asyncio.sleep(60)
        finally:
            print("cleaned")
    async def fails():
        try:
            await asyncio.sleep(60)
        finally:
            raise KeyError("cleaning")
    async def fetch(request):
        fetch.tasks = [asyncio.ensure_future(background()), asyncio.ensure_future(fails())]
        await asyncio.sleep(0)
        return Response("ok")
    """
    worker = shop.start(source)
    worker.get()
    assert worker.terminate() == 0
    assert worker.stdout == "cleaned\n"
    assert "KeyError: 'cleaning'" in worker.stderr
