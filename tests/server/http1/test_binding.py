"""What is said where an address cannot be listened on."""

import socket
from collections.abc import Iterator

import pytest

from buntime.core.errors import UsageError
from buntime.core.settings.endpoint import TcpEndpoint
from buntime.server.http1.binding import open_bindings


@pytest.fixture
def taken() -> Iterator[TcpEndpoint]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield TcpEndpoint("127.0.0.1", server.getsockname()[1])


def refusal(endpoint: TcpEndpoint, setting: str) -> str:
    with pytest.raises(UsageError) as caught:
        open_bindings([endpoint], setting=setting)
    return str(caught.value)


def test_another_port(taken: TcpEndpoint) -> None:
    """What is offered instead is a flag for the port, and not the operators' address beside it."""
    other = (taken.port + 9) % 65535 + 1
    told = refusal(taken, "PORT")
    assert f"stop it or choose another PORT, such as --port {other} (" in told


@pytest.mark.parametrize("setting", ["RUNTIME_LISTEN", "RUNTIME_ADMIN_LISTEN"])
def test_another_setting(taken: TcpEndpoint, setting: str) -> None:
    """--port changes nothing where another setting has the address, so that one is named."""
    other = (taken.port + 9) % 65535 + 1
    told = refusal(taken, setting)
    assert f"choose another port in {setting}, such as 127.0.0.1:{other} (" in told
    assert "--port" not in told


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("PORT", "set HOST to one of its own, or to 0.0.0.0"),
        ("RUNTIME_ADMIN_LISTEN", "set RUNTIME_ADMIN_LISTEN to one of its own"),
    ],
)
def test_no_such_address(setting: str, says: str) -> None:
    """An address of another machine is told apart from one that is in use."""
    assert refusal(TcpEndpoint("203.0.113.7", 0), setting).endswith(says)
