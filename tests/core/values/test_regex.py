"""Patterns that are compiled late."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import buntime
from buntime.core.values.regex import regex


def test_it_is_as_one_that_was_compiled() -> None:
    """It works as a compiled pattern does, for text and bytes, with flags, each time."""
    late = regex(r"(?P<name>[a-z]+)=(\d*)", re.I)
    for _ in range(2):
        found = late.fullmatch("A=12")
        assert found is not None
        assert (found["name"], found[2]) == ("A", "12")
    assert late.fullmatch("A=b") is None
    assert late.sub("", "a=1 b=2") == " "
    assert late.groupindex == {"name": 1}
    assert regex(rb"a+").findall(b"aa b a") == [b"aa", b"a"]
    assert (repr(late), late.pattern) == (repr(late), r"(?P<name>[a-z]+)=(\d*)")


def test_a_fault_is_told_when_it_is_used() -> None:
    """A faulty pattern raises when it is used, not when it is declared."""
    faulty = regex("(")
    with pytest.raises(re.error, match="unterminated"):
        faulty.match("")


def test_all_of_them_can_be_compiled() -> None:
    """Every pattern in any module compiles."""
    kind, found = type(regex("")), 0
    folders = (Path(buntime.__file__).parent / layer for layer in ("core", "server"))
    names = [
        module.name
        for folder in folders
        for module in pkgutil.walk_packages([str(folder)], f"buntime.{folder.name}.")
    ]
    for name in names:
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, kind):
                re.compile(value.pattern, value._flags)  # type: ignore[attr-defined]
                found += 1
    assert found > 50
