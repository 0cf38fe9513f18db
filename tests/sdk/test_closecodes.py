"""The close codes of WebSocket: which of them may be sent in a closing frame."""

import pytest

from buntime.sdk import closecodes

NAMED = {name: code for name, code in vars(closecodes).items() if name.isupper() and name[0] != "_"}
NEVER_SENT = {"NO_CODE", "LOST"}


@pytest.mark.parametrize("name", NAMED)
def test_which_may_be_sent(name: str) -> None:
    """A code that means "nothing was received" is never sent; every other one may be."""
    assert closecodes.may_send(NAMED[name]) == (name not in NEVER_SENT)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_what_may_be_sent(code: int) -> None:
    """Codes registered with IANA may be sent, and so may those for libraries and apps."""
    assert closecodes.may_send(code)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 1 << 40])
def test_what_may_not_be_sent(code: int) -> None:
    """Codes without a meaning, or not meant for closing frames, may not be sent."""
    assert not closecodes.may_send(code)
