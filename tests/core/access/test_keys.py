"""Which requests carry the runtime's key."""

import pytest

from buntime.core.access.keys import bears_key, has_key_field, is_key_field

KEY = "s3cret-\u00fc"
WIRE = KEY.encode().decode("latin-1")  # as the reader decodes the bytes of the header


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
    """The key is read from `X-API-Key` and from `Authorization: Bearer`."""
    assert bears_key(headers, KEY)
    assert has_key_field(headers)


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
    """Anything but the whole key in the right place does not count."""
    assert not bears_key(headers, KEY)


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("value", ["", "None", "x"])
def test_without_a_key_nothing_bears_it(key: str | None, value: str) -> None:
    """When no key is set, no request carries it, not even one with an empty key."""
    assert not bears_key([("x-api-key", value), ("authorization", f"Bearer {value}")], key)


def test_fields_that_bear_no_key() -> None:
    """No value needs to be looked at where no name is that of a key's field."""
    others = ("cookie", "x-request-id", "x-api-kez", "authorizatiom", "x-api-key-2", "")
    assert not has_key_field([(name, f"Bearer {WIRE}") for name in others])


def test_fields_with_the_key() -> None:
    """Only a field that holds the runtime's key is a key field; an app's own key is not."""
    assert is_key_field(("x-api-key", WIRE), KEY)
    assert is_key_field(("authorization", f"Bearer {WIRE}"), KEY)
    assert not is_key_field(("x-api-key", "an app's own"), KEY)
    assert not is_key_field(("x-request-id", WIRE), KEY)
    assert not is_key_field(("x-api-key", WIRE), None)
