"""The manifest's limits, which the system enforces on a worker and its programs."""

from __future__ import annotations

import os
import resource

from tests.support.workshop import Workshop

MB = 1 << 20


def test_address_space(shop: Workshop) -> None:
    """`maxAddressSpace`: allocating more raises MemoryError, and the worker goes on."""
    source = """
    from buntime import Response
    def fetch(request):
        try:
            return Response(str(len(bytearray(1 << 30))))
        except MemoryError:
            return Response("no memory")
    """
    worker = shop.start(source, config={"ttl": 60, "maxAddressSpace": 512 * MB})
    assert [worker.get().text for _ in range(2)] == ["no memory"] * 2


def test_file_size(shop: Workshop) -> None:
    """`maxFileSize`: a file can grow only to this size, also one written by a program of the
    app."""
    source = """
    import subprocess
    from buntime import Response
    def fetch(request):
        try:
            with open("own", "wb", 0) as file:
                file.write(bytes(8192))
                file.write(b"more")
        except OSError as exc:
            done = subprocess.run("head -c 9000 /dev/zero > other", shell=True)
            return Response(f"{exc.strerror} {done.returncode != 0}")
    """
    assert (
        shop.start(source, config={"ttl": 60, "maxFileSize": 8192}).get().text
        == "File too large True"
    )
    assert [(shop.folder / name).stat().st_size for name in ("own", "other")] == [8192] * 2


def test_processes(open_shop: Workshop) -> None:
    """`maxProcesses`: a user with this many processes can start no more."""
    source = """
    import os, threading
    from buntime import Response
    def fetch(request):
        event = threading.Event()
        try:
            for count in range(20):
                threading.Thread(target=event.wait).start()
        except RuntimeError:
            return Response(str(count))
        finally:
            event.set()
    """
    # Its own user: other processes of the same user would count, too.
    own = 20_000 + os.getpid() % 40_000
    user = {"uid": own, "gid": own, "groups": [own]}
    worker = open_shop.start(source, config={"ttl": 60, "maxProcesses": 8}, user=user, path=[])
    assert int(worker.get().text) < 8


def test_system_s_lower_limit_stays(shop: Workshop) -> None:
    """A limit higher than the worker's current one does not raise it."""
    source = """
    import resource
    from buntime import Response
    def fetch(request):
        return Response(str(resource.getrlimit(resource.RLIMIT_FSIZE)))
    """
    worker = shop.spare()
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (4 * MB, 4 * MB))
    shop.write(source)
    worker.init(config={"ttl": 60, "maxFileSize": 8 * MB})
    worker.ready()
    assert worker.get().text == str((4 * MB, 4 * MB))
