"""What an app may do to its own process: it harms its own requests, never the channel."""

import os
import signal
import time

import pytest

from tests.support.workshop import Workshop, eventually

BOTH = pytest.mark.parametrize("async_", ["", "async "], ids=["sync", "async"])


@BOTH
def test_exit_ends_the_worker_only(shop: Workshop, async_: str) -> None:
    """os._exit ends the worker without an answer, and without half a message."""
    shop.forks = bool(async_)
    worker = shop.start(f"import os\n{async_}def fetch(request):\n    os._exit(7)")
    worker.request()
    with pytest.raises(EOFError, match="7"):
        worker.answer(1)
    assert worker.leftover() == []


@BOTH
def test_descriptor_one_is_the_log(shop: Workshop, async_: str) -> None:
    """What an app writes to descriptors 1 and 2 goes to its log, not to the channel."""
    shop.forks = bool(async_)
    source = f"""
    import os
    from buntime import Response
    {async_}def fetch(request):
        os.write(1, b'{{"type":"BODY"}}\\n')
        os.write(2, b"two\\n")
        return Response("ok")
    """
    worker = shop.start(source)
    assert worker.get().text == "ok"
    assert worker.stdout == '{"type":"BODY"}\n'
    assert worker.stderr == "two\n"


def test_closed_descriptors_are_out_of_reach(shop: Workshop) -> None:
    """An app that closes the low descriptors and opens files does not reach the channel."""
    source = """
    import os
    from buntime import Response
    def fetch(request):
        os.closerange(3, 256)
        with open("log", "w+") as file:
            file.write("to the log")
            file.flush()
            file.seek(0)
            return Response(file.read())
    """
    worker = shop.start(source)
    for _ in range(3):
        assert worker.get().text == "to the log"


@BOTH
def test_closed_channel_is_told(shop: Workshop, async_: str) -> None:
    """An app that closes every descriptor loses its worker, and stderr says why."""
    shop.forks = bool(async_)
    source = f"""
    import os
    from buntime import Response
    {async_}def fetch(request):
        os.closerange(3, 4096)
        file = open("log", "w")
        return Response("ok")
    """
    worker = shop.start(source)
    worker.request()
    with pytest.raises(EOFError):
        worker.answer(1)
    assert worker.process.wait(20) == 1
    assert "channel" in worker.stderr
    assert (shop.folder / "log").read_text() == ""


@BOTH
def test_fork_that_returns_is_ended(shop: Workshop, async_: str) -> None:
    """A forked child that returns into the worker is ended; the parent answers, once."""
    shop.forks = bool(async_)
    source = f"""
    import os
    from buntime import Response
    {async_}def fetch(request):
        child = os.fork()
        if child == 0:
            return Response("child")
        return Response(str(os.waitpid(child, 0)[1]))
    """
    worker = shop.start(source)
    assert worker.get().text == str(1 << 8)
    assert "a forked child of the app returned into the worker" in worker.stderr
    assert worker.get("/shop/").status == 200
    assert worker.leftover() == []


def test_fork_that_raises_is_ended(shop: Workshop) -> None:
    """A forked child that raises, or calls sys.exit, does not answer either."""
    source = """
    import os, sys
    from buntime import Response
    def fetch(request):
        child = os.fork()
        if child == 0:
            sys.exit(5)
        os.waitpid(child, 0)
        return Response("parent")
    """
    worker = shop.start(source)
    assert worker.get().text == "parent"
    assert worker.leftover() == []


def test_threads_do_not_mix_messages(shop: Workshop) -> None:
    """Large responses of many threads at once arrive whole."""
    source = """
    from buntime import Response
    def fetch(request):
        return Response(request.path[1:].encode() * 100_000)
    """
    worker = shop.start(source)
    ids = {letter: worker.request("/shop/" + letter) for letter in "abcdefgh"}
    for letter, number in ids.items():
        assert worker.answer(number).text == letter * 100_000


@BOTH
def test_signals_are_the_runtime_s(shop: Workshop, async_: str) -> None:
    """SIGINT and SIGTERM, which reach a whole process group, neither end a worker nor break a
    request."""
    shop.forks = bool(async_)
    source = f"""
    import time
    from buntime import Response
    {async_}def fetch(request):
        print("begun")
        time.sleep(0.2)
        return Response("ok")
    """
    worker = shop.start(source)
    number = worker.request()
    eventually(lambda: worker.stdout)
    worker.process.send_signal(signal.SIGINT)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.answer(number).text == "ok"
    worker.process.send_signal(signal.SIGTERM)
    assert worker.get().text == "ok"
    assert worker.terminate() == 0
    assert worker.stderr == ""


def test_signals_are_not_inherited(shop: Workshop) -> None:
    """SIGTERM ends the programs and the processes that an app starts."""
    source = """
    import multiprocessing, subprocess, time
    from buntime import Response
    def fetch(request):
        program = subprocess.Popen(["sleep", "60"])
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        process.start()
        program.terminate()
        process.terminate()
        process.join()
        return Response(f"{program.wait()} {process.exitcode}")
    """
    assert shop.start(source).get().text == "-15 -15"


BUSY = {
    "python": "while True: pass",
    "c": "pow(3, 10**10)",  # one call into C that holds the GIL for hours
    "asleep": "import time; time.sleep(60)",
}


@BOTH
@pytest.mark.parametrize("busy", BUSY)
def test_nothing_outlives_the_runtime(shop: Workshop, busy: str, async_: str) -> None:
    """A worker whose runtime was killed ends at once, whatever its app is doing."""
    shop.forks = bool(async_)
    worker = shop.start(f"{async_}def fetch(request):\n    print('begun')\n    {BUSY[busy]}")
    worker.request()
    eventually(lambda: worker.stdout)
    begun = time.monotonic()
    worker.drop_lifeline()
    assert worker.process.wait(20) == -signal.SIGKILL
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("busy", BUSY)
def test_nothing_outlives_the_runtime_at_boot(shop: Workshop, busy: str) -> None:
    """The same holds while the app is being imported."""
    worker = shop.boot(f"print('begun')\n{BUSY[busy]}")
    eventually(lambda: worker.stdout)
    worker.drop_lifeline()
    assert worker.process.wait(20) == -signal.SIGKILL


def test_forks_do_not_outlive_the_runtime(shop: Workshop) -> None:
    """The same holds for processes that the app has forked."""
    source = """
    import os
    from buntime import Response
    def fetch(request):
        child = os.fork()
        if child == 0:
            pow(3, 10**10)
        return Response(str(child))
    """
    worker = shop.start(source)
    child = int(worker.get().text)
    worker.drop_lifeline()
    worker.process.wait(20)
    eventually(lambda: is_gone(child))


def is_gone(process: int) -> bool:
    """A dead orphan may remain if nobody collects it."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_runtime_may_be_gone_first(shop: Workshop) -> None:
    """A worker whose runtime is dead before it starts ends too, although no signal comes."""
    worker = shop.spare()
    worker.drop_lifeline()
    assert worker.process.wait(20) in (1, -signal.SIGKILL)


def test_worker_needs_few_descriptors(shop: Workshop) -> None:
    """A worker runs under a limit that leaves no room for high descriptors."""
    source = """
    import os, resource
    from buntime import Response
    def fetch(request):
        return Response("ok")
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        worker = shop.start(source)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert worker.get().text == "ok"
    assert os.listdir(f"/proc/{worker.process.pid}/fd")


def test_no_descriptor_is_inherited(shop: Workshop) -> None:
    """Programs that the app starts see neither the channel nor the lifeline."""
    source = """
    import os, subprocess
    from buntime import Response
    def fetch(request):
        command = ["ls", "-l", "/proc/self/fd"]
        return Response(subprocess.run(command, stdout=subprocess.PIPE, close_fds=False).stdout)
    """
    listing = shop.start(source).get().text
    assert "socket:" not in listing
    assert listing.count("pipe:") == 1  # its own stdout


def test_stderr_may_be_closed(shop: Workshop) -> None:
    """A report that cannot be written is dropped, but the request's answer is not."""
    source = """
    import sys
    from buntime import Response
    sys.stderr.close()
    sys.stdout = None
    def on_idle():
        raise KeyError
    def fetch(request):
        return Response("ok")
    """
    worker = shop.start(source)
    worker.send({"type": "IDLE"})
    assert worker.get().text == "ok"
    assert worker.terminate() == 0
