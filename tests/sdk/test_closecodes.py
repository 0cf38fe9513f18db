"""The close codes of WebSocket: which of them a closing frame may have."""

import pytest

from buntime.sdk import closecodes

NAMED = {name: code for name, code in vars(closecodes).items() if name.isupper() and name[0] != "_"}
NEVER_SENT = {"NO_CODE", "LOST"}


@pytest.mark.parametrize("name", NAMED)
def test_which_may_be_sent(name: str) -> None:
    """A code that stands for what never came is not sent; each other one may be."""
    assert closecodes.may_send(NAMED[name]) == (name not in NEVER_SENT)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_what_may_be_sent(code: int) -> None:
    """What IANA has registered may be sent, and what libraries and apps may choose."""
    assert closecodes.may_send(code)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 1 << 40])
def test_what_may_not_be_sent(code: int) -> None:
    """What has no meaning, or another one than a closing frame's, may not."""
    assert not closecodes.may_send(code)
