"""Conditional requests (RFC 9110 13): does the client have it already, or must it not get it?

All functions take `fields`, a mapping of lower-case names to values, with the values of a repeated
field joined by ", ".
"""

from collections.abc import Mapping

from buntime.core.http1.httpdate import parse_http_date
from buntime.core.values.enums import Enum, auto
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

# entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE (RFC 9110 8.8.3)
# Caches send a few tags of about 40 characters. A longer list matches nothing.
_TAGS_MAX_CHARS = 4096
_ENTITY_TAG = regex(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Validators(NamedTuple):
    """Identifies one state of a representation.

    `etag` is strong and quoted. `modified_s` is whole seconds since 1970, None where the file's
    time means nothing; `last_modified` is the same as text, "" for None.
    """

    etag: str
    modified_s: int | None
    last_modified: str


class Verdict(Enum):
    """The result of a request's conditions."""

    SEND = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


def judge(fields: Mapping[str, str], validators: Validators) -> Verdict:
    """The verdict on a GET or HEAD; conditions are checked in the order of RFC 9110 13.2.2.

    Its fifth step, If-Range, is `range_applies`. An unreadable date is no condition; an unreadable
    entity-tag matches nothing.
    """
    if "if-match" in fields:
        if not _matches(fields["if-match"], validators.etag, weakly=False):
            return Verdict.FAILED
    elif _is_newer(validators, fields.get("if-unmodified-since")) is True:
        return Verdict.FAILED
    if "if-none-match" in fields:
        if _matches(fields["if-none-match"], validators.etag, weakly=True):
            return Verdict.NOT_MODIFIED
    elif _is_newer(validators, fields.get("if-modified-since")) is False:
        return Verdict.NOT_MODIFIED
    return Verdict.SEND


def range_applies(fields: Mapping[str, str], validators: Validators) -> bool:
    """Does If-Range, if given, let the Range field apply (RFC 9110 13.1.5)?

    With a weak tag it never does. A date must be exactly the Last-Modified: an earlier or later one
    proves nothing about the bytes that the client already has.
    """
    known = fields.get("if-range")
    if known is None:
        return True
    if known.startswith(('"', "W/")):
        return known == validators.etag
    return validators.modified_s is not None and parse_http_date(known) == validators.modified_s


def _matches(tags: str, etag: str, *, weakly: bool) -> bool:
    """Is `etag` in a list like `W/"a", "b"`, or is the list `*`?"""
    if tags.strip(" \t") == "*":
        return True
    if len(tags) > _TAGS_MAX_CHARS or etag not in tags:
        return False
    return any(tag == etag and (weakly or not weak) for weak, tag in _ENTITY_TAG.findall(tags))


def _is_newer(validators: Validators, date: str | None) -> bool | None:
    """Was the file changed after `date`? None if there is nothing to compare."""
    if date is None or validators.modified_s is None:
        return None
    if date == validators.last_modified:  # what browsers send back: no need to parse it
        return False
    since_s = parse_http_date(date)
    return None if since_s is None else validators.modified_s > since_s
