"""Who may use what is reserved for operators."""

import pytest

from buntime.core.access.operators import is_direct, names_this_machine
from buntime.core.access.peers import UNIX_PEER


def test_operator_on_this_machine() -> None:
    """A request from this machine, addressed to this machine, is an operator's."""
    assert is_direct([], peer="127.0.0.1", host="localhost")


def test_operator_from_elsewhere() -> None:
    """A request from anywhere else is not an operator's."""
    assert not is_direct([("x-api-key", "")], peer="10.0.0.1", host="localhost")


@pytest.mark.parametrize("peer", ["127.0.0.1", UNIX_PEER])
def test_a_url_as_target(peer: str) -> None:
    """An absolute target is never direct: its host replaces the Host field, and clients of
    proxies send such targets."""
    assert not is_direct([], peer=peer, host="localhost", is_absolute=True)


@pytest.mark.parametrize(
    "name",
    """forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip via
    X-Forwarded-For x-forwarded-port x-forwarded x_forwarded-for true-client-ip""".split(),
)
def test_operator_behind_a_proxy(name: str) -> None:
    """A request that a proxy on this machine forwards does not count as local."""
    for peer in ("127.0.0.1", "::1", UNIX_PEER):
        assert not is_direct([(name, "127.0.0.1")], peer=peer, host="localhost")


@pytest.mark.parametrize(
    "host",
    """localhost localhost:8000 LOCALHOST:80 localhost. shop.localhost:8000 127.0.0.1
    127.0.0.1:8000 127.9.8.7 [::1] [::1]:8000 [::ffff:127.0.0.1]:80 [0:0:0:0:0:0:0:1]
    0.0.0.0:8000 box.lan BOX.lan:8000""".split(),
)
def test_host_of_this_machine(host: str) -> None:
    """localhost, loopback addresses and the runtime's own listening addresses are this machine."""
    assert names_this_machine(host, ["0.0.0.0", "box.lan"])
    assert is_direct([], peer="127.0.0.1", host=host, listening=["0.0.0.0", "Box.lan"])


@pytest.mark.parametrize(
    "host",
    """evil.example evil.example:8000 localhost.evil.example 127.0.0.1.evil.example xlocalhost
    10.0.0.1 192.168.1.5:8000 [::2] 0.0.0.0 127.1 2130706433 unix localhost..""".split(),
)
@pytest.mark.parametrize("peer", ["127.0.0.1", UNIX_PEER])
def test_host_of_a_rebound_name(host: str, peer: str) -> None:
    """Any other host name may be a page's own name that resolves to this machine, so it gets no
    operator pages."""
    assert not names_this_machine(host)
    assert not names_this_machine("")
    assert not is_direct([], peer=peer, host=host)
