"""Which peers count as this machine."""

import pytest

from buntime.core.access.peers import UNIX_PEER, is_loopback


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1", UNIX_PEER])
def test_loopback(peer: str) -> None:
    """All of 127/8, ::1, their mapped forms and the unix socket are this machine."""
    assert is_loopback(peer)


@pytest.mark.parametrize(
    "peer",
    """0.0.0.0 10.0.0.1 128.0.0.1 :: ::2 ::ffff:10.0.0.1 fe80::1 localhost 127.0.0.1.evil.org
    127.1 0127.0.0.1 2130706433 UNIX /tmp/unix -""".split(),
)
def test_no_loopback(peer: str) -> None:
    """Any other address, and anything that is not an address, is not this machine."""
    assert not is_loopback(peer)
