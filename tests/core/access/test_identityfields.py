"""Which header fields state an identity, in any spelling."""

import pytest

from buntime.core.access.identityfields import is_identity_field


@pytest.mark.parametrize(
    "name",
    [
        "x-identity",
        "x_identity",
        "x-identity-user",
        "x_identity-user",
        "x-identity_signature",
        "x-forwarded-user",
        "x_forwarded_user",
        "x-forwarded_email",
        "x_forwarded-groups",
    ],
)
def test_fields_about_identities(name: str) -> None:
    """Servers that turn fields into variables map "-" to "_", so both spellings count."""
    assert is_identity_field(name)


@pytest.mark.parametrize("name", ["identity", "x-user", "x-forwarded-for", "xx-identity", "x", ""])
def test_other_fields(name: str) -> None:
    """Other fields are left to the app and its client."""
    assert not is_identity_field(name)
