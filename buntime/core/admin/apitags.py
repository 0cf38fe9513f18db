"""ETags of the API's answers: two answers with the same tag say the same."""

import json

from buntime.core.errors import ClientFault
from buntime.core.values.digests import sha256

MISSING = '"missing"'  # the tag of something that does not exist, which no If-Match can name


def tag_of(value: object) -> str:
    """The ETag of a JSON value: `'"3f2a81c0b7d94e15"'`."""
    data = json.dumps(value, sort_keys=True).encode("ascii")
    return f'"{sha256(data).hex()[:16]}"'


def check_match(if_match: str | None, tag: str) -> None:
    """Raises ClientFault (412) where If-Match is given and does not name this tag.

    Strong comparison (RFC 9110 13.1.1): a weak tag matches nothing. Nothing, not even `*`, matches
    MISSING.
    """
    if if_match is None:
        return
    if tag == MISSING:
        raise ClientFault(
            412,
            "precondition_failed",
            "there is nothing to change, but If-Match requires that it exists",
        )
    if if_match.strip() == "*":
        return
    if tag not in [each.strip() for each in if_match.split(",")]:
        raise ClientFault(
            412,
            "precondition_failed",
            f"it has changed since you read it: its ETag is {tag}, which If-Match does not "
            "name; read it again",
        )
