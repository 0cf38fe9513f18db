"""The digest of an archive, from a request's header field (RFC 9530)."""

import base64
import binascii
import re

from buntime.core.errors import ClientFault

_SHA_256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):\s*(?:,|$)")
_DIGEST_BYTES = 32


def digest_in(field: str | None) -> str | None:
    """`"sha-256=:47DEQ…=:"` -> "e3b0c4…", in hex; None where no SHA-256 digest is given.

    Raises ClientFault (400) for an invalid one.
    """
    match = _SHA_256.search(field or "")
    if match is None:
        return None
    try:
        digest = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise ClientFault(
            400, "bad_digest", "Content-Digest: sha-256 must be 32 bytes in base64, between colons"
        )
    return digest.hex()
