"""Fakes have the same methods, with the same parameters, as the classes that they replace."""

from __future__ import annotations

import inspect

import pytest

from tests.support.fakes import GIVEN, OWN, STANDS_IN


@pytest.mark.parametrize("fake", STANDS_IN, ids=lambda fake: fake.__name__)
def test_fakes_are_like_the_real_ones(fake: type) -> None:
    """A renamed method, or one with a new parameter, fails here and not only in production."""
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
