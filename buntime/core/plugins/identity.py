r"""Who asks: what clients may not say of it, and what apps are told.

    field that comes                     from a client   from a trusted proxy
    ----------------------------------   -------------   ---------------------------------------
    X-Identity, X-Identity-Anything      taken out       taken out
    X-Forwarded-User, -Email, -Groups    taken out       passes where no identity hook is asked,
                                                         else told to stage identity alone

in any spelling: `X_Forwarded_User` and `x-identity_user` too, since what makes variables of fields
takes them for the same. Apps get, from the runtime, whose channel no client can write to:

    x-identity: {"groups":["staff"],"user":"ann"}      JSON, ASCII
    x-forwarded-user: ann                              where it can stand in a field
    x-forwarded-groups: staff,admins

Apps that have the secret IDENTITY_KEY, since others may reach them too, also get
X-Identity-Signature: base64url HMAC-SHA256, by that secret, over

    v1 \n time \n request id \n method \n target \n X-Identity's bytes
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from buntime.core.access.identityfields import TOLD_BY_PROXIES, is_identity_field
from buntime.core.http1.section import Fields
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

Identity = Mapping[str, object]

SIZE_MAX_BYTES = 4096  # as JSON: upstreams take 8 KiB of all fields
SIGNATURE = "x-identity-signature"
SIGNING_SECRET = "IDENTITY_KEY"  # of an app: with it the runtime signs what it tells of identities
_TEXT_MAX_CHARS = 256
_LIST_MAX = 200
_BLANKS = " \t"
_FIELD_TEXT = regex(r"[!-~](?:[ -~]*[!-~])?")  # what stands in a field as it is meant


class BadIdentity(ValueError):
    """What a plugin gave is no identity; the sentence says why."""


class Told(NamedTuple):
    """The fields of a request without those about identities, and what a trusted proxy said."""

    fields: Fields
    proxy: Fields  # its X-Forwarded-User, -Email, -Groups; () from clients


def take_out(fields: Fields, *, from_proxy: bool) -> Told:
    """Take what nobody may say of identities out of a request's fields: at each request."""
    if not any(is_identity_field(name) for name, _ in fields):
        return Told(fields, ())
    left = tuple(pair for pair in fields if not is_identity_field(pair[0]))
    said = tuple(pair for pair in fields if pair[0] in TOLD_BY_PROXIES) if from_proxy else ()
    return Told(left, said)


def read_identity(value: object) -> Identity:
    """The identity in a verdict, checked.

    Any JSON object of bounded size. Where it has `user`, `name` or `email` they are text, `groups`
    and `roles` lists of texts: rules and fields are made of them. Raises BadIdentity.
    """
    if not isinstance(value, dict):
        raise BadIdentity(f"{shown(value)} is not a mapping")
    for key in ("user", "name", "email"):
        if value.get(key) is not None:
            _check_text(key, value[key])
    for key in ("groups", "roles"):
        if value.get(key) is not None:
            _check_list(key, value[key])
    try:
        size = len(_encode(value))
    except (TypeError, ValueError, RecursionError):
        raise BadIdentity("it is not JSON") from None
    if size > SIZE_MAX_BYTES:
        raise BadIdentity(f"it has {size} bytes as JSON, allowed are {SIZE_MAX_BYTES}")
    return MappingProxyType(value)


def identity_text(identity: Identity) -> str:
    """X-Identity: JSON, ASCII."""
    return _encode(identity)


def identity_fields(identity: Identity) -> Fields:
    """What an app is told: X-Identity, and of the other fields those that can be told in one."""
    fields = [("x-identity", _encode(identity))]
    for key in ("user", "email"):
        text = identity.get(key)
        if isinstance(text, str) and _FIELD_TEXT.fullmatch(text):
            fields.append((f"x-forwarded-{key}", text))
    groups = identity.get("groups")
    if isinstance(groups, list):
        plain = [each for each in groups if _FIELD_TEXT.fullmatch(each) and "," not in each]
        if plain:
            fields.append(("x-forwarded-groups", ",".join(plain)))
    return tuple(fields)


def identity_key(identity: Identity | None) -> str:
    """What tells two identities apart, for verdicts that are kept."""
    return "" if identity is None else _encode(identity)


def signature(
    *, secret: bytes, time_s: int, request_id: str, method: str, target: str, identity: str
) -> str:
    """X-Identity-Signature: `"t=1700000000,v1=..."`. `identity` is X-Identity."""
    parts = ("v1", str(time_s), request_id, method, target, identity)
    digest = hmac.digest(secret, "\n".join(parts).encode("latin-1"), hashlib.sha256)
    return f"t={time_s},v1={urlsafe_b64encode(digest).decode('ascii').rstrip('=')}"


def without_cookies(fields: Fields, names: Collection[str]) -> Fields:
    """The fields without those cookies: the runtime's and plugins' own are nobody else's.

    The field is cut at each semicolon, also in quotes: where an app has had a browser keep a cookie
    that begins with one, what comes behind it would be part of its value. A field of which nothing
    is left goes.
    """
    if not names or not any(name == "cookie" for name, _ in fields):
        return fields
    return tuple(_without(fields, frozenset(names)))


def _without(fields: Fields, names: frozenset[str]) -> Iterable[tuple[str, str]]:
    for name, value in fields:
        if name != "cookie":
            yield name, value
            continue
        pairs = value.split(";")
        left = [pair for pair in pairs if pair.partition("=")[0].strip() not in names]
        if len(left) == len(pairs):
            yield name, value
        elif text := ";".join(left).strip(_BLANKS):
            yield name, text


def _encode(identity: Identity) -> str:
    return json.dumps(
        dict(identity), ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True
    )


def _check_text(key: str, value: object) -> None:
    if not isinstance(value, str) or not value or len(value) > _TEXT_MAX_CHARS:
        raise BadIdentity(f"{key} {shown(value)} is not text of 1 to {_TEXT_MAX_CHARS} characters")
    if not value.isprintable():
        raise BadIdentity(f"{key} {shown(value)} has a character that cannot be shown")


def _check_list(key: str, value: object) -> None:
    if not isinstance(value, list) or len(value) > _LIST_MAX:
        raise BadIdentity(f"{key} {shown(value)} is not a list of at most {_LIST_MAX} texts")
    for each in value:
        _check_text(key, each)
