"""The limit of connections per client, which clients are exempt, and how it changes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.rawclient import Cut, RawClient, client_of, request

MOST = 3


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "site", {"index.html": "<p>fine</p>"})
    return folder


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"RUNTIME_CONNECTIONS_PER_ADDRESS": str(MOST)}) as runtime:
        yield runtime


@pytest.fixture(autouse=True)
def nobody_is_left(runtime: Runtime) -> None:
    """Returns once the runtime has noticed that the clients of the test before have left."""
    with ExitStack() as stack:
        for _ in range(2):  # the second in a later turn of the loop than the first
            other = stack.enter_context(connect_from(runtime, "127.0.0.2").sock)
            assert RawClient(other).get("/health").status == 200


def connect_from(runtime: Runtime, address: str) -> RawClient:
    sock = socket.create_connection(
        ("127.0.0.1", runtime.port), timeout=15, source_address=(address, 0)
    )
    return RawClient(sock)


def inside(runtime: Runtime, stack: ExitStack, count: int) -> list[RawClient]:
    """Clients of this machine's address that were accepted and served."""
    clients = [stack.enter_context(client_of(runtime)) for _ in range(count)]
    for client in clients:
        assert client.get("/health").status == 200
    return clients


def test_one_more_is_refused(runtime: Runtime) -> None:
    """One more is refused with 429, a reason and a close; the client's other connections stay."""
    with ExitStack() as stack:
        clients = inside(runtime, stack, MOST)
        more = stack.enter_context(client_of(runtime))
        reply = more.read()
        assert (reply.status, reply.code) == (429, "too_many_connections")
        assert (reply.get("connection"), reply.get("retry-after")) == ("close", "1")
        more.expect_end()
        assert [client.get("/health").status for client in clients] == [200] * MOST
    record = runtime.wait_for_record("connections.refused")
    assert (record["client"], record["connections_per_address"]) == ("127.0.0.1", MOST)


def test_a_refused_request_has_its_answer(runtime: Runtime) -> None:
    """A refused client gets its answer even if its request was sent before the refusal came."""
    with ExitStack() as stack:
        inside(runtime, stack, MOST)
        for _ in range(20):
            more = stack.enter_context(client_of(runtime))
            more.send(request("GET /health"))
            try:
                assert more.read().status == 429
            except Cut:
                pass  # a reset that overtook the answer, as a refused client's request is not read


def test_another_client_comes_in(runtime: Runtime) -> None:
    """Each address has a count of its own."""
    with ExitStack() as stack:
        inside(runtime, stack, MOST)
        other = connect_from(runtime, "127.0.0.2")
        assert other.get("/health").status == 200
        other.close()


def test_who_has_left_counts_no_more(runtime: Runtime) -> None:
    """The count goes down with each connection that ends, however it ends."""
    for _ in range(3):
        with ExitStack() as stack:
            clients = inside(runtime, stack, MOST)
            clients[0].send(request("GET /health", "Connection: close"))
            assert clients[0].read().status == 200
            clients[0].expect_end()
            inside(runtime, stack, 1)
        with connect_from(runtime, "127.0.0.2").sock as sock:  # all of them are noticed by now
            assert RawClient(sock).get("/health").status == 200


def test_a_trusted_proxy_is_exempt(apps: Path) -> None:
    """A trusted proxy is exempt, as it passes on many clients."""
    env = {"RUNTIME_CONNECTIONS_PER_ADDRESS": "1", "RUNTIME_TRUSTED_PROXIES": "127.0.0.1"}
    with running(apps, env=env) as runtime, ExitStack() as stack:
        inside(runtime, stack, 5)
        first, second = (connect_from(runtime, "127.0.0.2") for _ in range(2))
        assert (first.get("/health").status, second.read().status) == (200, 429)
        first.close()
        second.close()


def test_a_limit_set_at_sighup(apps: Path, tmp_path: Path) -> None:
    """A limit set on SIGHUP applies to new connections, and so does its removal. Those that were
    open before count too."""
    file = tmp_path / "settings.env"
    file.write_text("")
    with running(apps, env={"RUNTIME_ENV_FILE": str(file)}) as runtime, ExitStack() as stack:
        inside(runtime, stack, 2)
        for text, number in (("RUNTIME_CONNECTIONS_PER_ADDRESS=3\n", 1), ("", 2)):
            file.write_text(text)
            runtime.process.send_signal(signal.SIGHUP)
            wait_for_change(runtime, number)
            if text:
                inside(runtime, stack, 1)
                assert stack.enter_context(client_of(runtime)).read().status == 429
        inside(runtime, stack, 3)


def wait_for_change(runtime: Runtime, number: int) -> None:
    def changes() -> int:
        return sum(record["event"] == "settings.changed" for record in runtime.records)

    wait_until(lambda: changes() >= number, what="the change")
