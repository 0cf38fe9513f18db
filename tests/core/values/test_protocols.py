"""Interfaces that are declared quickly."""

from pathlib import Path
from typing import TypeVar

import pytest

from buntime.core.values.protocols import Protocol

PACKAGE = Path(__file__).resolve().parents[3] / "buntime"
T_contra = TypeVar("T_contra", contravariant=True)


class Takes(Protocol[T_contra]):
    """An interface with a parameter."""

    def take(self, what: T_contra) -> str:
        """Takes one."""
        return "taken"


class Taker(Takes[int]):
    """A class that says so; others need not."""


def test_they_are_ordinary_classes() -> None:
    """An interface may have parameters and bodies, and classes may name it as their base."""
    assert Taker().take(1) == "taken"
    assert isinstance(Taker(), Takes)


@pytest.mark.parametrize("layer", ["core", "server", "commands"])
def test_all_use_them(layer: str) -> None:
    """The runtime's own modules declare no interface with `typing`, which takes five times as
    long."""
    modules = [*(PACKAGE / layer).rglob("*.py")]
    assert modules
    ours = PACKAGE / "core/values/protocols.py"
    lines = {path: path.read_text("utf-8").splitlines() for path in modules if path != ours}
    assert [
        path
        for path, said in lines.items()
        if any(line.startswith("from typing import") and "Protocol" in line for line in said)
    ] == []
