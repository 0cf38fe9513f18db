"""Digests of archives."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.deploys.digests import digest_in
from buntime.core.errors import ClientFault


@given(st.binary(min_size=32, max_size=32))
def test_sha_256(digest: bytes) -> None:
    """A SHA-256 digest is found among others."""
    text = f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert digest_in(text) == digest_in(f"sha-512=:AAAA:, {text}") == digest.hex()


@pytest.mark.parametrize("field", [None, "", "md5=:AAAA:", "sha-256", "unixsum=1"])
def test_none(field: str | None) -> None:
    """A missing digest, or one in another form, is ignored."""
    assert digest_in(field) is None


@pytest.mark.parametrize("text", ["", "AAAA", "A", "===="])
def test_bad(text: str) -> None:
    """A malformed digest is refused."""
    with pytest.raises(ClientFault, match="must be 32 bytes"):
        digest_in(f"sha-256=:{text}:")
