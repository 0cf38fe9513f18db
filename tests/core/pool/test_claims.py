"""What a worker claims: each claim is valid, or refused with a short text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.pool import claims

READY = {"kind": "fetch", "concurrency": 8, "boot_ms": 1.5}
DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]
# Values that JSON allows and Python may confuse with others.
ODD = [None, "", "x" * 10**6, "\ud800", -1, 10**4000, 0.5, math.nan, math.inf, [], {}, DEEP]
ALL: list[Callable[[Any], Any]] = [
    claims.flag,
    lambda value: claims.whole(value, 0, 5),
    claims.text,
    claims.share,
]


@pytest.mark.parametrize("check", ALL)
@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_any_value(check: Callable[[Any], Any], value: object) -> None:
    """A value passes unchanged, or is refused in few words."""
    told = ""
    try:
        value = check(value) == value
    except ValueError as exc:
        told = str(exc)
    assert value is True or 0 < len(told) < 200


def test_what_python_takes_for_a_number() -> None:
    """True is not 1 here, and neither is 1.0; 1 is not true."""
    for value in (True, 1.0):
        with pytest.raises(ValueError, match="where a number"):
            claims.whole(value, 0)
    with pytest.raises(ValueError, match="where true or false"):
        claims.flag(1)
    with pytest.raises(ValueError, match="a busy share of true"):
        claims.share(True)


def test_bounds() -> None:
    """Both bounds are inclusive."""
    assert [claims.whole(value, 1, 3) for value in (1, 3)] == [1, 3]
    for value in (0, 4):
        with pytest.raises(ValueError, match="from 1 on"):
            claims.whole(value, 1, 3)
    assert claims.whole(10**30, 1) == 10**30


def test_a_ready() -> None:
    """A READY has a kind, a concurrency and a boot time; the kind is short since it is logged."""
    assert claims.ready(READY) == claims.Ready("fetch", 8, 1.5)
    assert len(claims.ready({**READY, "kind": "x" * 10**6}).kind) < 100
    [told] = claims.ready({**READY, "imports": [["x" * 10**6, 2, 3]]}).imports or ()
    assert (len(told.name), told.ms, told.modules) == (100, 2.0, 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"concurrency": 0},
        {"concurrency": -5},
        {"concurrency": 10**15},
        {"concurrency": math.inf},
        {"concurrency": "8"},
        {"concurrency": True},
        {"boot_ms": math.nan},
        {"boot_ms": -1},
        {"boot_ms": 10**4000},
        {"boot_ms": DEEP},
        {"imports": [["a", 1.0, 1]] * 11},
        {"imports": {"a": 1}},
        {"imports": [["a", 1.0]]},
        {"imports": [["a", math.nan, 1]]},
        {"imports": [[None, 1.0, 1]]},
        {"imports": [["a", 1.0, -1]]},
        {"kind": None},
        {"kind": DEEP},
    ],
    ids="-".join,
)
def test_a_ready_that_is_none(changed: dict[str, Any]) -> None:
    """An invalid READY is refused, whatever it is."""
    with pytest.raises(ValueError, match=r"where a|a boot that|import"):
        claims.ready({**READY, **changed})


@given(st.text(), st.text())
def test_an_error(message: str, stack: str) -> None:
    """An error of normal size is passed on unchanged."""
    assert claims.error({"message": message, "stack": stack}) == (message, stack, "")


def test_a_long_error() -> None:
    """An error longer than any worker makes is cut, since it is logged."""
    told, stack, advice = claims.error(
        {"message": "m" * 10**6, "stack": "s" * 10**6, "advice": "a" * 10**6}
    )
    assert len(told) + len(stack) + len(advice) < 200_000
    with pytest.raises(ValueError, match="where a text"):
        claims.error({"message": DEEP, "stack": ""})
    with pytest.raises(ValueError, match="where a text"):
        claims.error({"message": "", "stack": "", "advice": DEEP})
