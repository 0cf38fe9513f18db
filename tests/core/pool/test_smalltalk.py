"""How many messages without effect a worker may send."""

from __future__ import annotations

import pytest

from buntime.core.pool.smalltalk import SmallTalk


def test_a_few_for_each_request() -> None:
    """A few for each request, even late ones, are no flood, however many requests there were."""
    talk = SmallTalk(0.0)
    for requests in range(1000):
        for _ in range(16):
            talk.put_up(requests)
    assert repr(talk) == "SmallTalk(16000 of 1000)"


def test_a_flood() -> None:
    """A flood ends the worker."""
    talk = SmallTalk(0.0)
    for _ in range(1000):
        talk.put_up(0)
    with pytest.raises(ValueError, match="change nothing"):
        talk.put_up(0)


def test_telling_how_busy_it_is() -> None:
    """Reports of load may come ten times a second for ever, or a few minutes' worth at once."""
    talk = SmallTalk(0.0)
    assert all(talk.may_tell(number / 10) for number in range(20_000))
    assert sum(talk.may_tell(2000.0) for _ in range(20_000)) == 5000
