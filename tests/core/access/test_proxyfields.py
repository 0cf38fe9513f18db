"""Header fields that proxies add about themselves and about their clients."""

import pytest

from buntime.core.access.proxyfields import FORWARDING, is_forwarding, tells_of_proxy


@pytest.mark.parametrize(
    "name", [*sorted(FORWARDING), "x-forwarded-for", "x-forwarded", "x-forwarded-anything"]
)
def test_forwarding_fields(name: str) -> None:
    """These fields describe the sender on a proxy's behalf, in any spelling that gives the same
    variable name."""
    for spelling in (name, name.replace("-", "_")):
        assert is_forwarding(spelling)
        assert tells_of_proxy(spelling)


def test_via() -> None:
    """Via reveals a proxy but says nothing about the sender."""
    assert tells_of_proxy("via")
    assert not is_forwarding("via")


@pytest.mark.parametrize(
    "name", ["host", "x-forward", "forwarded-for", "x-real", "user-agent", "x-via", ""]
)
def test_other_fields(name: str) -> None:
    """No other field reveals a proxy."""
    assert not tells_of_proxy(name)
    assert not is_forwarding(name)
