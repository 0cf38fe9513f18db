"""ETags of what the API tells: two answers of one tag say the same."""

import json
from hashlib import sha256

from buntime.core.errors import ClientFault

MISSING = '"missing"'  # the tag of what is not there, which no If-Match can name


def tag_of(value: object) -> str:
    """The ETag of a value of JSON: `'"3f2a81c0b7d94e15"'`."""
    data = json.dumps(value, sort_keys=True).encode("ascii")
    return f'"{sha256(data).hexdigest()[:16]}"'


def check_match(if_match: str | None, tag: str) -> None:
    """Raises ClientFault (412) where If-Match is there and names no tag that is this one.

    Strong comparison (RFC 9110 13.1.1): a weak tag matches nothing. Nothing, not even `*`, matches
    MISSING.
    """
    if if_match is None:
        return
    if tag == MISSING:
        raise ClientFault(
            412,
            "precondition_failed",
            "there is nothing to change: If-Match names a version that is to exist",
        )
    if if_match.strip() == "*":
        return
    if tag not in [each.strip() for each in if_match.split(",")]:
        raise ClientFault(
            412,
            "precondition_failed",
            f"it has changed since you read it: If-Match names another ETag than {tag}; "
            "look at it again",
        )
