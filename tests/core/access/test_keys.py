"""Which requests bear the runtime's key."""

import pytest

from buntime.core.access.keys import bears_key, is_key_field

KEY = "s3cret-\u00fc"
WIRE = KEY.encode().decode("latin-1")  # as the bytes of the header come from the reader


@pytest.mark.parametrize(
    "headers",
    [
        [("x-api-key", WIRE)],
        [("X-API-Key", WIRE)],
        [("authorization", f"Bearer {WIRE}")],
        [("Authorization", f"bearer   {WIRE} ")],
        [("authorization", "Basic YTpi"), ("x-api-key", WIRE)],
        [("x-api-key", "wrong"), ("x-api-key", WIRE)],
    ],
)
def test_ways_to_bear_the_key(headers: list[tuple[str, str]]) -> None:
    """The key is taken from X-API-Key and from Authorization: Bearer."""
    assert bears_key(headers, KEY)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-api-key", "")],
        [("x-api-key", WIRE[:-1])],
        [("x-api-key", WIRE + "x")],
        [("x-api-key", WIRE.upper())],
        [("x-api-key", f"Bearer {WIRE}")],
        [("authorization", WIRE)],
        [("authorization", f"Basic {WIRE}")],
        [("authorization", f"Bearer{WIRE}")],
        [("cookie", f"x-api-key={WIRE}")],
        [("x-api-key-2", WIRE)],
    ],
)
def test_what_bears_no_key(headers: list[tuple[str, str]]) -> None:
    """Anything but the whole key in its place is no key."""
    assert not bears_key(headers, KEY)


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("value", ["", "None", "x"])
def test_without_a_key_nothing_bears_it(key: str | None, value: str) -> None:
    """While no key is set, no request bears it, not even an empty one."""
    assert not bears_key([("x-api-key", value), ("authorization", f"Bearer {value}")], key)


def test_fields_with_the_key() -> None:
    """A field that bears the key is told from others of its name."""
    assert is_key_field(("x-api-key", WIRE), KEY)
    assert is_key_field(("authorization", f"Bearer {WIRE}"), KEY)
    assert not is_key_field(("x-api-key", "an app's own"), KEY)
    assert not is_key_field(("x-request-id", WIRE), KEY)
    assert not is_key_field(("x-api-key", WIRE), None)
