"""Fakes have the methods of what they stand in for, with the same parameters."""

from __future__ import annotations

import inspect

import pytest

from tests.support.fakes import GIVEN, OWN, STANDS_IN


@pytest.mark.parametrize("fake", STANDS_IN, ids=lambda fake: fake.__name__)
def test_fakes_are_like_the_real_ones(fake: type) -> None:
    """A method that was renamed, or got another parameter, fails here and not only in service."""
    real = STANDS_IN[fake]
    left_out = OWN.get(fake, set()) | GIVEN.get(fake, set())
    methods = {
        name: each
        for name, each in inspect.getmembers(fake, inspect.isfunction)
        if not name.startswith("_") and name not in left_out
    }
    assert methods
    for name, each in methods.items():
        assert _parameters(each) == _parameters(getattr(real, name)), name


def _parameters(function: object) -> list[tuple[str, object]]:
    assert callable(function)
    return [(each.name, each.kind) for each in inspect.signature(function).parameters.values()]
