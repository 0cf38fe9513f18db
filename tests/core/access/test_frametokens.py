"""Tokens and tickets of pages in frames."""

from __future__ import annotations

import pytest

from buntime.core.access.frametokens import (
    TICKET_S,
    TOKEN_S,
    FrameTokens,
    Grant,
    Standing,
    borne_token,
    has_form,
    with_ticket,
    without_ticket,
)
from buntime.core.access.rights import Caller, admin

ANN, BO = admin("ann", "master"), admin("bo", "master")
OWNER = "plugin:keyval"


def grant(caller: Caller | None = ANN, target: str | None = None, *, name: str = "ann") -> Grant:
    ends_at = 100.0 + (TOKEN_S if target is None else TICKET_S)
    return Grant(OWNER, name, lambda: caller, ends_at, target)


def give(tokens: FrameTokens, made: Grant, number: int = 0) -> str:
    return tokens.give(made, number.to_bytes(32, "big"), 100.0)


def who(standing: Standing | None) -> Caller | None:
    return None if standing is None else standing()


def test_token() -> None:
    """A token identifies its caller, only at its own plugin and only until it expires."""
    tokens = FrameTokens()
    text = give(tokens, grant())
    assert has_form(text)
    assert who(tokens.find(text, OWNER, 100.0)) == ANN
    assert who(tokens.find(text, OWNER, 399.9)) == ANN
    assert tokens.find(text, OWNER, 400.0) is None
    assert tokens.find(text, "plugin:other", 100.0) is None
    assert tokens.find(text + "x", OWNER, 100.0) is None
    assert tokens.find("bf_\u20ac", OWNER, 100.0) is None


def test_ended_sign_in() -> None:
    """A token opens nothing once its caller has signed out."""
    tokens = FrameTokens()
    assert who(tokens.find(give(tokens, grant(None)), OWNER, 100.0)) is None


def test_ticket() -> None:
    """A ticket works once, for its own target only, and does not count as a token."""
    tokens = FrameTokens()
    target = "/keyval/api/x?y=1"
    tickets = [give(tokens, grant(target=target), number) for number in range(4)]
    assert tokens.find(tickets[0], OWNER, 100.0) is None
    assert who(tokens.use(tickets[0], OWNER, target, 129.9)) == ANN
    assert tokens.use(tickets[0], OWNER, target, 101.0) is None
    assert tokens.use(tickets[1], OWNER, "/keyval/api/y", 101.0) is None
    assert tokens.use(tickets[1], OWNER, target, 101.0) is None  # it was shown, so it is used up
    assert tokens.use(tickets[2], OWNER, target, 130.0) is None
    assert tokens.use(tickets[3], "plugin:other", target, 101.0) is None


def test_token_is_no_ticket() -> None:
    """A token in a query opens nothing, and it stays valid as a token."""
    tokens = FrameTokens()
    text = give(tokens, grant())
    assert tokens.use(text, OWNER, "/keyval/api/x", 100.0) is None
    assert who(tokens.find(text, OWNER, 100.0)) == ANN


def test_bounds() -> None:
    """A caller who asks for too many tokens loses their own oldest; expired ones are removed."""
    tokens = FrameTokens()
    other = give(tokens, grant(BO, name="bo"), 10_000)
    texts = [give(tokens, grant(), number) for number in range(1000)]
    assert len(tokens) == 401
    assert tokens.find(texts[0], OWNER, 100.0) is None
    assert who(tokens.find(texts[-1], OWNER, 100.0)) == ANN
    assert who(tokens.find(other, OWNER, 100.0)) == BO
    tokens.give(grant(), b"\1" * 32, 500.0)
    assert len(tokens) == 1


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/a?bt_ticket=T", ("/a", "T")),
        ("/a?x=1&bt_ticket=T", ("/a?x=1", "T")),
        ("/a?bt_ticket=S&bt_ticket=T", ("/a?bt_ticket=S", "T")),
        ("/a?bt_ticket=T&x=1", None),
        ("/a?x=bt_ticket=T", None),
        ("/a", None),
        ("/a?", None),
    ],
)
def test_without_ticket(target: str, found: tuple[str, str] | None) -> None:
    """A ticket is found at the end of the query only."""
    assert without_ticket(target) == found
    assert without_ticket(with_ticket(target, "T")) == (target, "T") or target == "/a?"


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (("authorization", "Bearer bf_x"), "bf_x"),
        (("authorization", "bearer  bf_x "), "bf_x"),
        (("authorization", "Bearer bt_x"), None),
        (("authorization", "Basic bf_x"), None),
        (("x-api-key", "bf_x"), None),
    ],
)
def test_borne_token(field: tuple[str, str], found: str | None) -> None:
    """A token is read from `Authorization: Bearer`."""
    assert borne_token([("host", "a"), field]) == found
