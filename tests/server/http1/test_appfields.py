"""What an app tells browsers stays with the app, also if it says the same again and again."""

from __future__ import annotations

from typing import Any, cast

import pytest

from buntime.core.http1.answer import RepeatedFields
from buntime.server.http1.appfields import confine
from tests.support.apps import make_app

PLAIN = [["content-type", "text/plain"], ["x-a", "1"]]


def confined(fields: Any, base: str) -> list[list[str]]:
    """What is left of them, for an app at this base."""
    log = cast(Any, type("Log", (), {"warn": lambda *_, **__: None})())
    return [*confine(fields, make_app(), base, log)]


@pytest.mark.parametrize(
    "fields",
    [
        PLAIN,
        [["set-cookie", "a=1"], *PLAIN],
        [["Clear-Site-Data", "*"], *PLAIN],
        [["service-worker-allowed", "/"], *PLAIN],
    ],
)
def test_fields_that_come_again(fields: list[list[str]]) -> None:
    """They are confined as they would be the first time, to the base of each request."""
    known = RepeatedFields(fields)
    for base in ("/shop", "/shop@1", "", "/shop"):
        assert confined(known, base) == confined(fields, base)
    assert known == fields


def test_only_harmless_ones_are_known() -> None:
    """What acts on the whole host is looked at each time."""
    harmless, harmful = RepeatedFields(PLAIN), RepeatedFields([["set-cookie", "a=1; path=/"]])
    confined(harmless, "/shop")
    confined(harmful, "/shop")
    assert (harmless.are_harmless, harmful.are_harmless) == (True, False)


@pytest.mark.parametrize("fields", [[[1, 2]], [[]], [7]])
def test_malformed_ones_are_left_for_the_answer(fields: Any) -> None:
    """Nothing is known of them."""
    known = RepeatedFields(fields)
    assert confined(known, "/shop") == fields
    assert not known.are_harmless
