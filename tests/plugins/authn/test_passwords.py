"""Passwords, tokens and the slowing down of guesses."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authn import passwords
from authn.passwords import WeakPassword, check_strength, hash_password, is_password
from authn.throttle import FREE_OF_ADDRESS, FREE_OF_NAME, WAIT_MAX_S, Throttle


def test_a_hash_fits_its_password_alone() -> None:
    kept = hash_password("correct horse é")
    assert "correct" not in kept
    assert is_password("correct horse é", kept)
    assert not is_password("correct horse e", kept)
    assert not is_password("x" * 10_000, kept)
    assert hash_password("correct horse é") != kept, "each has a salt of its own"
    assert not passwords.is_outdated(kept)
    assert passwords.is_outdated(kept.replace("$15$", "$14$"))


@pytest.mark.parametrize("kept", [None, "", "x", "scrypt$15$8$1$AA==", "scrypt$x$8$1$AA==$AA=="])
def test_nobody_and_a_damaged_file_have_no_password(kept: str | None) -> None:
    assert not is_password("anything at all", kept)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least"),
        ("x" * 1001, "at most"),
        ("ann@example.com", "than your name"),
        ("ANN@example.com", "than your name"),
        ("aaaaaaaaaaab", "three different"),
    ],
)
def test_weak_ones(password: str, why: str) -> None:
    with pytest.raises(WeakPassword, match=why):
        check_strength(password, "ann", "ann@example.com")


def wait_s(throttle: Throttle, address: str, name: str, now: float) -> float:
    with throttle.guess(address, name, now) as wait_s:
        return wait_s


def test_guesses_from_one_address_are_slowed() -> None:
    """After some free guesses each wait doubles, up to a limit; a right one resets it."""
    throttle, now = Throttle(), 1000.0
    for _ in range(FREE_OF_ADDRESS):
        assert wait_s(throttle, "a", "x", now) == 0
        throttle.on_wrong("a", "x", now)
    waits = []
    for _ in range(15):
        waits.append(wait_s(throttle, "a", "other", now))
        throttle.on_wrong("a", "x", now)
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == WAIT_MAX_S
    assert wait_s(throttle, "b", "other", now) == 0
    assert wait_s(throttle, "a", "x", now + WAIT_MAX_S) == 0
    throttle.on_right("a", "x")
    assert wait_s(throttle, "a", "x", now) == 0


def test_guesses_about_one_name_from_many_addresses_are_slowed() -> None:
    throttle = Throttle()
    for number in range(FREE_OF_NAME + 2):
        throttle.on_wrong(f"address {number}", "ann", 1000.0)
    assert wait_s(throttle, "yet another", "ann", 1000.0) > 0
    assert wait_s(throttle, "yet another", "bob", 1000.0) == 0
    assert wait_s(throttle, "yet another", "ann", 3000.0) == 0


def test_guesses_at_once_count_as_wrong() -> None:
    """Only as many guesses are looked at together as may be wrong; after these, one at a time."""
    throttle, now = Throttle(), 1000.0
    with ExitStack() as stack:
        waits = [stack.enter_context(throttle.guess("a", f"x{n}", now)) for n in range(20)]
        assert waits == [0.0] * FREE_OF_ADDRESS + [1.0] * (20 - FREE_OF_ADDRESS)
    assert wait_s(throttle, "a", "x", now) == 0  # none of them was wrong
    with ExitStack() as stack:
        waits = [stack.enter_context(throttle.guess(f"{n}", "x", now)) for n in range(30)]
        assert waits == [0.0] * FREE_OF_NAME + [1.0] * (30 - FREE_OF_NAME)
    for _ in range(FREE_OF_ADDRESS):
        throttle.on_wrong("a", "x", now)
    with throttle.guess("a", "x", now + 2) as first, throttle.guess("a", "y", now + 2) as second:
        assert (first, second) == (0.0, 1.0)


def test_guesses_for_weeks() -> None:
    """However many were wrong, the next one waits no longer than the bound."""
    throttle, now = Throttle(), 1000.0
    for _ in range(3000):
        assert 0 <= wait_s(throttle, "a", "x", now) <= WAIT_MAX_S
        throttle.on_wrong("a", "x", now)
        now += WAIT_MAX_S
    assert wait_s(throttle, "a", "x", now - 1) == 1


def test_an_own_account_makes_up_for_no_guesses_at_others() -> None:
    """Whoever signs in between guesses at others is slowed all the same; own mistakes are
    forgiven."""
    throttle, now = Throttle(), 1000.0
    for number in range(FREE_OF_ADDRESS - 1):
        throttle.on_wrong("a", f"victim {number}", now)
        throttle.on_right("a", "mallory")
    throttle.on_wrong("a", "bo", now)
    assert wait_s(throttle, "a", "ann", now) > 0
    throttle.on_right("a", "bo")
    assert wait_s(throttle, "a", "ann", now) == 0


def test_one_network_of_ipv6_is_one_address() -> None:
    throttle = Throttle()
    for number in range(FREE_OF_ADDRESS):
        throttle.on_wrong(f"2001:db8::{number:x}", "ann", 1000.0)
    assert wait_s(throttle, "2001:db8::ffff:1", "bo", 1000.0) > 0
    assert wait_s(throttle, "2001:db8:0:1::1", "bo", 1000.0) == 0
    assert wait_s(throttle, "192.0.2.1", "bo", 1000.0) == 0
    for _ in range(FREE_OF_ADDRESS):
        throttle.on_wrong("::ffff:192.0.2.7", "ann", 1000.0)
    assert wait_s(throttle, "192.0.2.7", "bo", 1000.0) > 0
    assert wait_s(throttle, "::ffff:192.0.2.8", "bo", 1000.0) == 0


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.floats(0, 5000))))
def test_nobody_waits_for_longer_than_the_bound(tries: list[tuple[str, str, float]]) -> None:
    throttle, now = Throttle(), 0.0
    for address, name, later in tries:
        now += later
        assert 0 <= wait_s(throttle, address, name, now) <= WAIT_MAX_S
        throttle.on_wrong(address, name, now)
