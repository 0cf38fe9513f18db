"""Where to listen: the form of endpoints, and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.settings.endpoint import (
    MODE_DEFAULT,
    Endpoint,
    TcpEndpoint,
    UnixEndpoint,
    parse_host,
    parse_listen,
)
from buntime.core.settings.setting import Situation
from buntime.core.values.units import BadValue

SITUATION = Situation("checkout", 1, "/work", False, {"HOME": "/home/me"})


def listen(text: str) -> tuple[Endpoint, ...]:
    return parse_listen(text, SITUATION)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:8000", TcpEndpoint("127.0.0.1", 8000)),
        ("0.0.0.0:0", TcpEndpoint("0.0.0.0", 0)),
        ("localhost:65535", TcpEndpoint("localhost", 65535)),
        ("[::1]:80", TcpEndpoint("::1", 80)),
        ("[::]:80", TcpEndpoint("::", 80)),
        ("[fe80::1%eth0]:80", TcpEndpoint("fe80::1%eth0", 80)),
        ("unix:/run/b.sock", UnixEndpoint("/run/b.sock", MODE_DEFAULT)),
        ("unix:/run/b.sock?mode=660", UnixEndpoint("/run/b.sock", 0o660)),
        ("unix:/run/b.sock?mode=0600", UnixEndpoint("/run/b.sock", 0o600)),
        ("unix:b.sock", UnixEndpoint("/work/b.sock")),
        ("unix:~/b.sock", UnixEndpoint("/home/me/b.sock")),
    ],
)
def test_an_endpoint(text: str, endpoint: Endpoint) -> None:
    """An endpoint is an address with a port, or a unix socket with permissions."""
    assert listen(text) == (endpoint,)


@pytest.mark.parametrize(
    "text", ["a:1,b:2", "a:1 b:2", " a:1 ,\tb:2,", "a:1\nb:2"], ids=["comma", "blank", "both", "nl"]
)
def test_several(text: str) -> None:
    """Several are separated by commas or spaces, and keep their order."""
    assert listen(text) == (TcpEndpoint("a", 1), TcpEndpoint("b", 2))


def test_none() -> None:
    """An empty text names no endpoint."""
    assert listen("") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8000", "is neither an address with a port"),
        ("localhost", "is neither an address with a port"),
        ("::1:80", "is neither an address with a port"),
        ("::1", "is neither an address with a port"),
        ("http://localhost:80", "is neither an address with a port"),
        ("localhost:http", "is neither an address with a port"),
        ("localhost:٣", "is neither an address with a port"),
        ("/run/b.sock", "is neither an address with a port"),
        (":80", "is not an address to listen on"),
        ("*:80", "is not an address to listen on"),
        ("[]:80", "is not an address to listen on"),
        ("[localhost]:80", "is not an address to listen on"),
        ("[::1]:65536", "is not an address to listen on"),
        ("unix:", "names no path"),
        ("unix:?mode=600", "names no path"),
        ("unix:~you/b", "is not a path"),
        ("unix:/b?", "has an unknown option"),
        ("unix:/b?mode=", "has an unknown option"),
        ("unix:/b?mode=888", "has an unknown option"),
        ("unix:/b?mode=1777", "has an unknown option"),
        ("unix:/b?mode=660&mode=600", "has an unknown option"),
        ("unix:/b?user=me", "has an unknown option"),
        ("unix:/b unix:/b?mode=600", "unix:/b is named twice"),
        ("a:1 a:1", "a port 1 is named twice"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    """Invalid and duplicate endpoints are reported, with an example of a valid one."""
    with pytest.raises(BadValue, match=re.escape(message)):
        listen(text)


def test_any_port_twice() -> None:
    """Port 0 is any free port, so the same address can have it more than once."""
    assert listen("a:0 a:0") == (TcpEndpoint("a", 0), TcpEndpoint("a", 0))


def test_a_host_may_be_a_socket() -> None:
    """HOST accepts a unix socket in the same form, with its permissions."""
    assert parse_host("unix:/b?mode=600", SITUATION) == UnixEndpoint("/b", 0o600)


@given(st.text("[]:.,%?= \nabx017ü/unixmode") | st.text())
def test_any_text(text: str) -> None:
    """Any text gives endpoints or a BadValue, and nothing else."""
    try:
        endpoints = listen(text)
    except BadValue:
        return
    for endpoint in endpoints:
        if isinstance(endpoint, TcpEndpoint):
            assert endpoint.host
            assert 0 <= endpoint.port <= 65535
        else:
            assert endpoint.path.startswith("/")
