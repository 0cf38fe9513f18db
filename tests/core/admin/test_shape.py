"""Values are read by their schema."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.core.admin.shape import read_shape
from buntime.core.values.units import BadValue

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]+$"},
        "roles": {"type": "array", "items": {"enum": ["viewer", "admin"]}, "maxItems": 2},
        "count": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {},
    },
}


@pytest.mark.parametrize(
    "value",
    [
        {"name": "a"},
        {"name": "a", "roles": ["viewer"], "count": None, "any": [1, {"x": None}]},
        {"name": "a", "count": 9, "env": {"A": "b"}},
    ],
)
def test_right_values(value: dict[str, Any]) -> None:
    """Valid values stay as they were."""
    assert read_shape(value, SCHEMA) == value


def test_whole_numbers() -> None:
    """2.0 is an integer, since JSON has only one kind of number."""
    told = read_shape({"name": "a", "count": 2.0}, SCHEMA)["count"]
    assert (told, type(told)) == (2, int)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "a list is not an object"),
        (None, "nothing is not an object"),
        ({}, "name is missing"),
        ({"name": 1}, "name: 1 is not a string"),
        ({"name": ""}, "name: 0 characters are too few"),
        ({"name": "abcdef"}, "name: 6 characters are too many"),
        ({"name": "A"}, "name: 'A' does not match"),
        ({"name": "a", "naem": 1}, "unknown key 'naem'; did you mean"),
        ({"name": "a", "roles": ["viewer", "amdin"]}, "roles[1]: 'amdin' is not one of"),
        ({"name": "a", "roles": ["viewer"] * 3}, "roles: 3 entries are too many"),
        ({"name": "a", "count": -1}, "count: -1 is less than 0"),
        ({"name": "a", "count": 10}, "count: 10 is more than 9"),
        ({"name": "a", "count": True}, "count: true is not an integer or null"),
        ({"name": "a", "count": 1.5}, "count: 1.5 is not an integer or null"),
        ({"name": "a", "env": {"A": 1}}, "env.A: 1 is not a string"),
    ],
)
def test_wrong_values(value: Any, message: str) -> None:
    """The message says where the fault is."""
    with pytest.raises(BadValue) as caught:
        read_shape(value, SCHEMA)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "value", ["hush", ["hush"], {"hush": 1}, {"key": "hush"}, {"key": 1, "hush": 2}]
)
def test_secrets_are_not_told(value: object) -> None:
    """The message about a write-only value does not contain it."""
    part = {"type": "integer", "writeOnly": True}
    schema = {**SCHEMA, "required": [], "properties": {"key": part}, "writeOnly": True}
    with pytest.raises(BadValue) as caught:
        read_shape(value, schema)
    assert "hush" not in str(caught.value)
