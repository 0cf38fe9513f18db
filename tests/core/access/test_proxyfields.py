"""Header fields by which proxies tell of themselves, and of who is before them."""

import pytest

from buntime.core.access.proxyfields import FORWARDING, is_forwarding, tells_of_proxy


@pytest.mark.parametrize(
    "name", [*sorted(FORWARDING), "x-forwarded-for", "x-forwarded", "x-forwarded-anything"]
)
def test_forwarding_fields(name: str) -> None:
    """They tell of the sender in a proxy's stead, also where a variable would be named alike."""
    for spelling in (name, name.replace("-", "_")):
        assert is_forwarding(spelling)
        assert tells_of_proxy(spelling)


def test_via() -> None:
    """Via shows a proxy, and says nothing of the sender."""
    assert tells_of_proxy("via")
    assert not is_forwarding("via")


@pytest.mark.parametrize(
    "name", ["host", "x-forward", "forwarded-for", "x-real", "user-agent", "x-via", ""]
)
def test_other_fields(name: str) -> None:
    """Any other field shows no proxy."""
    assert not tells_of_proxy(name)
    assert not is_forwarding(name)
