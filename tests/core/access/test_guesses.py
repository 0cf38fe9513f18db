"""Clients that guess the key are slowed down, and no others are."""

from __future__ import annotations

import pytest

from buntime.core.access.guesses import Guesses, network_of
from buntime.core.errors import ClientFault

KEY = "the-right-one"
RIGHT = [("x-api-key", KEY)]
WRONG = [("authorization", "Bearer wrong")]


class World:
    """A `Guesses` and a clock."""

    def __init__(self) -> None:
        self.guesses = Guesses()
        self.now = 1000.0

    def ask(self, fields: list[tuple[str, str]], address: str = "192.0.2.1") -> str:
        """The outcome: "in", "out", or the seconds for which no key is checked."""
        try:
            is_in = self.guesses.admit(fields, KEY, address=address, now=self.now)
        except ClientFault as fault:
            return dict(fault.headers)["Retry-After"] if fault.status == 429 else str(fault)
        return "in" if is_in else "out"

    def guess(self, count: int, address: str = "192.0.2.1") -> list[str]:
        return [self.ask(WRONG, address) for _ in range(count)]


@pytest.fixture
def world() -> World:
    return World()


def test_some_wrong_keys(world: World) -> None:
    """After some wrong keys, the right key still works."""
    assert world.guess(9) == ["out"] * 9
    assert world.ask(RIGHT) == "in"


def test_many_wrong_keys(world: World) -> None:
    """After ten wrong keys no key is checked, not even the right one, so that guessing stops."""
    assert world.guess(12) == ["out"] * 10 + ["5"] * 2
    assert world.ask(RIGHT) == "5"
    world.now += 4.9
    assert world.ask(RIGHT) == "1"
    world.now += 0.2
    assert world.ask(RIGHT) == "in"


def test_a_guesser_goes_on(world: World) -> None:
    """An address that keeps guessing gets one try every five seconds: 720 an hour."""
    looked = 0
    for _ in range(36_000):
        looked += world.ask(WRONG) == "out"
        world.now += 0.1
    assert 720 <= looked <= 731


def test_others(world: World) -> None:
    """The right key works from any other address, however many others are guessing."""
    for number in range(5000):
        world.guess(12, f"10.0.{number // 250}.{number % 250}")
        if number % 100 == 0:
            assert world.ask(RIGHT, "198.51.100.7") == "in"
            assert world.ask(WRONG[:0], "198.51.100.7") == "out"


def test_many_guessers(world: World) -> None:
    """When many addresses guess, each wrong key blocks its address for a minute."""
    for number in range(20):
        world.guess(10, f"10.0.0.{number}")
    assert world.guess(2, "10.0.1.1") == ["out", "55"]
    assert world.ask(RIGHT, "10.0.1.2") == "in"


def test_no_key_at_all(world: World) -> None:
    """A request without a key is no guess, and nothing is a guess when no key is set."""
    for _ in range(100):
        assert world.ask([]) == "out"
        assert world.ask([("x-api-key", ""), ("authorization", "Basic YTpi")]) == "out"
        assert not world.guesses.admit(WRONG, None, address="192.0.2.1", now=world.now)
    assert repr(world.guesses) == "Guesses(0 addresses)"


def test_what_is_remembered(world: World) -> None:
    """The memory is bounded: the oldest address is forgotten."""
    world.guess(11, "192.0.2.1")
    for number in range(5000):
        world.ask(WRONG, f"10.1.{number // 250}.{number % 250}")
    assert repr(world.guesses) == "Guesses(4096 addresses)"
    assert world.ask(RIGHT, "192.0.2.1") == "in"


def test_addresses_of_one_customer(world: World) -> None:
    """All addresses of one IPv6 /64 count as one."""
    told = [world.ask(WRONG, f"2001:db8::{number:x}") for number in range(11)]
    assert told == ["out"] * 10 + ["5"]
    assert world.ask(RIGHT, "2001:db8:0:0:ffff::1") == "5"
    assert world.ask(RIGHT, "2001:db8:0:1::1") == "in"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        ("a:b", "a:b"),
    ],
)
def test_networks(address: str, network: str) -> None:
    """Addresses are counted by network."""
    assert network_of(address) == network
