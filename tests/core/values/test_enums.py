"""Our enumerations behave as those of `enum`, in what the code uses of them."""

import copy
import enum
import json
import pickle
from typing import Any

import pytest

from buntime.core.values import enums


class State(enums.Enum):
    """What both are asked about."""

    OPEN = enums.auto()
    CLOSED = enums.auto()

    @property
    def is_open(self) -> bool:
        """Not a member."""
        return self is type(self).OPEN

    def other(self) -> str:
        """Not a member either."""
        return self.name.lower()


class RealState(enum.Enum):
    """The same, by `enum`."""

    OPEN = enum.auto()
    CLOSED = enum.auto()

    @property
    def is_open(self) -> bool:
        """Not a member."""
        return self is type(self).OPEN

    def other(self) -> str:
        """Not a member either."""
        return self.name.lower()


class Cause(enums.StrEnum):
    """Strings."""

    IDLE = "idle"
    EXIT = "exit"


class RealCause(enum.StrEnum):
    """The same, by `enum`."""

    IDLE = "idle"
    EXIT = "exit"


BOTH = pytest.mark.parametrize("kind", [State, RealState], ids=["ours", "theirs"])
STRINGS = pytest.mark.parametrize("kind", [Cause, RealCause], ids=["ours", "theirs"])


@BOTH
def test_members(kind: Any) -> None:
    """They have names and values, an order, and one identity."""
    assert [(each.name, each.value) for each in kind] == [("OPEN", 1), ("CLOSED", 2)]
    assert len(kind) == 2
    assert kind(2) is kind["CLOSED"] is kind.CLOSED
    assert kind.OPEN in kind
    assert (kind.OPEN.is_open, kind.CLOSED.other()) == (True, "closed")
    assert isinstance(kind.OPEN, kind)
    assert kind.OPEN != kind.CLOSED
    assert kind.OPEN != 1
    assert {kind.OPEN: "a", kind.CLOSED: "b"}[kind.CLOSED] == "b"


@BOTH
def test_what_is_no_member(kind: Any) -> None:
    """A wrong value or name is an error, and so is a new value for a member."""
    for value in (3, "OPEN", []):
        with pytest.raises(ValueError, match="is not a valid"):
            kind(value)
    for name in ("open", "is_open", "other"):
        with pytest.raises(KeyError):
            kind[name]
    with pytest.raises(AttributeError):
        kind.OPEN = 3
    assert kind.OPEN.value == 1


@BOTH
def test_words_and_copies(kind: Any) -> None:
    """They are shown by their names; a copy is the member itself."""
    name = kind.__name__
    assert (str(kind.OPEN), repr(kind.OPEN)) == (f"{name}.OPEN", f"<{name}.OPEN: 1>")
    assert f"{kind.OPEN}" == f"{name}.OPEN"
    assert copy.copy(kind.OPEN) is copy.deepcopy(kind.OPEN) is kind.OPEN
    assert pickle.loads(pickle.dumps(kind.OPEN)) is kind.OPEN


@STRINGS
def test_strings(kind: Any) -> None:
    """They are strings, for comparison, as keys and in JSON."""
    assert kind.IDLE == "idle"
    assert kind("exit") is kind.EXIT
    assert "idle" in list(kind)
    assert {"idle": 1}[kind.IDLE] == 1
    assert (str(kind.IDLE), f"{kind.IDLE}", type(str(kind.IDLE))) == ("idle", "idle", str)
    assert repr(kind.IDLE) == f"<{kind.__name__}.IDLE: 'idle'>"
    assert json.dumps({kind.IDLE: kind.EXIT}) == '{"idle": "exit"}'
    assert copy.deepcopy(kind.IDLE) is kind.IDLE
    assert pickle.loads(pickle.dumps(kind.IDLE)) is kind.IDLE


def test_aliases() -> None:
    """Two names for a value are a mistake, unlike in `enum`."""
    with pytest.raises(TypeError, match="B has the value of"):

        class Twice(enums.Enum):
            A = 1
            B = 1
