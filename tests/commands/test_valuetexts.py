"""Values as `buntime config show` and `buntime show --settings` print them."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.commands.valuetexts import in_words, key_in_words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        ({}, "none"),
        ([], "none"),
        ({"shop": "www-data"}, '{"shop": "www-data"}'),
        (["a", "b"], "a, b"),
        ([1, 2], "[1, 2]"),
        (False, "false"),
        (0, "0"),
        ("text", "text"),
    ],
)
def test_values(value: object, text: str) -> None:
    """A mapping with content is shown; only what is empty is none."""
    assert in_words(value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("maxMemory", 256 << 20, "256mb"),
        ("ttl", 600.0, "10m"),
        ("ttl", "none", "none"),
        ("keep", True, "true"),
        ("workers", 4, "4"),
        ("secrets", {"DATABASE_URL": {"env": True}}, "DATABASE_URL"),
        ("env", {}, "none"),
        ("of a newer version", 3, "3"),
    ],
)
def test_keys(name: str, value: Any, text: str) -> None:
    """Sizes and durations have units, and secrets are a list of their names."""
    assert key_in_words(name, value) == text
