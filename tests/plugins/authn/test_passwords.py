"""Passwords, tokens and the slowing down of guesses."""

from __future__ import annotations

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


def test_guesses_from_one_address_are_slowed() -> None:
    """After some free guesses each wait doubles, up to a limit; a right one resets it."""
    throttle, now = Throttle(), 1000.0
    for _ in range(FREE_OF_ADDRESS):
        assert throttle.wait_s("a", "x", now) == 0
        throttle.on_wrong("a", "x", now)
    waits = []
    for _ in range(15):
        waits.append(throttle.wait_s("a", "other", now))
        throttle.on_wrong("a", "x", now)
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == WAIT_MAX_S
    assert throttle.wait_s("b", "other", now) == 0
    assert throttle.wait_s("a", "x", now + WAIT_MAX_S) == 0
    throttle.on_right("a", "x")
    assert throttle.wait_s("a", "x", now) == 0


def test_guesses_about_one_name_from_many_addresses_are_slowed() -> None:
    throttle = Throttle()
    for number in range(FREE_OF_NAME + 2):
        throttle.on_wrong(f"address {number}", "ann", 1000.0)
    assert throttle.wait_s("yet another", "ann", 1000.0) > 0
    assert throttle.wait_s("yet another", "bob", 1000.0) == 0
    assert throttle.wait_s("yet another", "ann", 3000.0) == 0


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.floats(0, 5000))))
def test_nobody_waits_for_longer_than_the_bound(tries: list[tuple[str, str, float]]) -> None:
    throttle, now = Throttle(), 0.0
    for address, name, later in tries:
        now += later
        assert 0 <= throttle.wait_s(address, name, now) <= WAIT_MAX_S
        throttle.on_wrong(address, name, now)
