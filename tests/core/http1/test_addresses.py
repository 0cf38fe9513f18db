"""Connections are counted per client, and a count is dropped with the client's last connection. A
client with many is a crowd until it has few."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.addresses import FEW, MANY, AddressCounts, client_network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_what_is_one_client(address: str, network: str) -> None:
    """A client is an IPv4 address, or an IPv6 network, since it may use every address there."""
    assert client_network(address) == network


def test_neighbours_share_a_count() -> None:
    """Addresses in one IPv6 network share a count, others do not."""
    counts: AddressCounts[int] = AddressCounts()
    for number, address in enumerate(["2001:db8::1", "2001:db8::2", "203.0.113.7"]):
        counts.add(number, address)
    assert counts.count("2001:db8::3") == 2
    assert counts.count("203.0.113.7") == 1
    assert counts.count("203.0.113.8") == 0


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.sampled_from(["10.0.0.1", "::1", "::2"]))
    )
)
def test_counts_agree_with_who_is_there(steps: list[tuple[bool, int, str]]) -> None:
    """The counts always match the open connections, and nothing is kept after the last one."""
    counts: AddressCounts[int] = AddressCounts()
    there: dict[int, str] = {}
    for comes, who, address in steps:
        if comes and who not in there:
            there[who] = address
            counts.add(who, address)
        elif not comes:
            there.pop(who, None)
            counts.discard(who)
        for each in ("10.0.0.1", "::1"):
            network = client_network(each)
            assert counts.count(each) == sum(
                client_network(held) == network for held in there.values()
            )
    for who in tuple(there):
        counts.discard(who)
    assert repr(counts) == "AddressCounts(0 of 0 clients)"


@given(st.lists(st.tuples(st.integers(0, 90), st.sampled_from(["10.0.0.1", "::1"])), max_size=60))
def test_a_crowd_is_one_until_it_has_few(steps: list[tuple[int, str]]) -> None:
    """Each connection is told apart once when its client gets more than MANY, and once when it is
    down to FEW."""
    counts: AddressCounts[int] = AddressCounts()
    open_: dict[str, list[int]] = {"10.0.0.1": [], "::1": []}
    crowd: set[int] = set()
    crowds: set[str] = set()
    last = 0
    for most, address in steps:  # connections come or go until there are so many
        held = open_[address]
        while len(held) != most:
            if len(held) < most:
                last += 1
                held.append(last)
                joined = counts.add(last, address)
                assert crowd.isdisjoint(joined)
                crowd |= {*joined}
            else:
                gone = held.pop()
                left = counts.discard(gone)
                assert crowd.issuperset(left)
                crowd -= {gone, *left}
            if len(held) > MANY:
                crowds.add(address)
            elif len(held) <= FEW:
                crowds.discard(address)
            assert counts.is_crowd(address) is (address in crowds)
            assert crowd == {each for name in crowds for each in open_[name]}
