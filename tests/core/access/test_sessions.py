"""How long a session lasts, and what identifies its owner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.sessions import (
    IDLE_S,
    LIFE_S,
    OF_ONE_MAX,
    SESSIONS_MAX,
    Session,
    Sessions,
    bears_csrf,
    csrf_of,
    digest_of,
    proof_of,
    token_of,
)

NOW = 1_800_000_000.0


def token(number: int) -> str:
    return token_of(number.to_bytes(32))


def session(number: int, *, name: str = "laptop", used_at: float = NOW, **more: float) -> Session:
    text = token(number)
    proof = proof_of(text, b"key")
    return Session(digest_of(text), "key", name, proof, NOW, used_at, **more)


@pytest.mark.parametrize(
    ("made", "ends_at"),
    [
        (session(1), NOW + IDLE_S),
        (session(1, used_at=NOW + 60), NOW + 60 + IDLE_S),
        (session(1, used_at=NOW + LIFE_S - 1), NOW + LIFE_S),
        (session(1, expires_at=NOW + 5), NOW + 5),
    ],
)
def test_when_one_ends(made: Session, ends_at: float) -> None:
    """A session ends some hours after its last use, a week after it began, and when its key
    expires."""
    known = Sessions([made])
    assert made.ends_at == ends_at
    assert known.find(token(1), ends_at - 0.001) == made
    assert known.find(token(1), ends_at) is None
    assert known.over(ends_at) == [made]


def test_what_finds_one() -> None:
    """A session is found by its token and by nothing else."""
    known = Sessions([session(1)])
    for text in ("", "x", token(2), token(1)[:-1], token(1) + "=", "é" * 43):
        assert known.find(text, NOW) is None
    assert known.find(token(1), NOW - LIFE_S - 1) is None  # the clock was set back


def test_bounds() -> None:
    """A caller with too many sessions loses their own oldest; beyond the total limit the oldest
    one goes."""
    known = Sessions()
    for number in range(OF_ONE_MAX):
        assert known.put(session(number)) == []
    known.use(session(0), NOW + 1)
    assert known.put(session(OF_ONE_MAX)) == [session(1)]
    for number in range(SESSIONS_MAX - OF_ONE_MAX):
        assert known.put(session(2000 + number, name=f"key-{number}")) == []
    assert known.put(session(9999, name="other")) == [session(2)]
    assert len(known) == SESSIONS_MAX


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_what_is_told_of_a_token(random: bytes, stands_on: bytes) -> None:
    """Neither what is stored nor what a page can read contains the token."""
    text = token_of(random)
    kept = digest_of(text), proof_of(text, stands_on)
    assert text not in csrf_of(text)
    assert random not in kept
    assert text.encode() not in b"".join(kept)


def test_csrf() -> None:
    """The header must carry the value that is derived from this very session."""
    good = csrf_of(token(1))
    assert bears_csrf([("x-buntime-csrf", good)], token(1))
    for value in ("", good[:-1], csrf_of(token(2)), token(1), "\xff"):
        assert not bears_csrf([("x-buntime-csrf", value)], token(1))
    assert not bears_csrf([("x-csrf", good)], token(1))
