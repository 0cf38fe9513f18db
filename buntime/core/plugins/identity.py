r"""Who sent a request: what clients may not claim about it, and what apps are told.

    incoming field                       from a client   from a trusted proxy
    ----------------------------------   -------------   ---------------------------------------
    X-Identity, X-Identity-Anything      removed         removed
    X-Forwarded-User, -Email, -Groups    removed         passed on if no identity hook is asked,
                                                         otherwise shown to stage identity only

in any spelling: `X_Forwarded_User` and `x-identity_user` too, because WSGI and CGI turn them into
the same variables. The runtime sends these to apps, on a channel that no client can write to:

    x-identity: {"groups":["staff"],"user":"ann"}      JSON, ASCII
    x-forwarded-user: ann                              if it can be written in a field
    x-forwarded-groups: staff,admins

Apps with the secret IDENTITY_KEY, because others may reach them directly, also get
X-Identity-Signature: base64url HMAC-SHA256, with that secret as key, over

    v1 \n time \n request id \n method \n target \n X-Identity's bytes
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from buntime.core.access.identityfields import IDENTITY_FROM_PROXIES, is_identity_field
from buntime.core.http1.section import Fields
from buntime.core.values.digests import mac
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

Identity = Mapping[str, object]

SIZE_MAX_BYTES = 4096  # as JSON; upstream servers accept 8 KiB for all fields
SIGNATURE = "x-identity-signature"
SIGNING_SECRET = "IDENTITY_KEY"  # an app's secret; with it the runtime signs identities
_TEXT_MAX_CHARS = 256
_LIST_MAX = 200
_BLANKS = " \t"
_FIELD_TEXT = regex(r"[!-~](?:[ -~]*[!-~])?")  # text that a field can carry unchanged


class BadIdentity(ValueError):
    """A plugin returned something that is not an identity; the message says why."""


class Cleaned(NamedTuple):
    """A request's fields without those about identities, and what a trusted proxy said."""

    fields: Fields
    proxy: Fields  # the proxy's X-Forwarded-User, -Email, -Groups; () from clients


def take_out(fields: Fields, *, from_proxy: bool) -> Cleaned:
    """Remove what nobody may say about identities from a request's fields. Called for each
    request."""
    if not any(is_identity_field(name) for name, _ in fields):
        return Cleaned(fields, ())
    left = tuple(pair for pair in fields if not is_identity_field(pair[0]))
    proxy = tuple(pair for pair in fields if pair[0] in IDENTITY_FROM_PROXIES) if from_proxy else ()
    return Cleaned(left, proxy)


def read_identity(value: object) -> Identity:
    """The identity in a verdict, checked.

    Any JSON object of limited size. `user`, `name` and `email`, if present, must be text, `groups`
    and `roles` lists of text, because rules and fields use them. Raises BadIdentity.
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
        raise BadIdentity(f"it has {size} bytes as JSON; {SIZE_MAX_BYTES} are allowed")
    return MappingProxyType(value)


def identity_text(identity: Identity) -> str:
    """The value of X-Identity: JSON, ASCII."""
    return _encode(identity)


def identity_fields(identity: Identity) -> Fields:
    """The fields for an app: X-Identity, and the others where a field can carry the value."""
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
    """A key that differs between identities, for caching verdicts."""
    return "" if identity is None else _encode(identity)


def signature(
    *, secret: bytes, time_s: int, request_id: str, method: str, target: str, identity: str
) -> str:
    """X-Identity-Signature: `"t=1700000000,v1=..."`. `identity` is the value of X-Identity."""
    parts = ("v1", str(time_s), request_id, method, target, identity)
    digest = mac(secret, "\n".join(parts).encode("latin-1"))
    return f"t={time_s},v1={urlsafe_b64encode(digest).decode('ascii').rstrip('=')}"


def without_cookies(fields: Fields, names: Collection[str]) -> Fields:
    """The fields without these cookies: those of the runtime and of plugins are for nobody else.

    The field is split at each semicolon, even inside quotes: where an app has made a browser store
    a cookie that begins with a quote, whatever follows would otherwise be part of its value. A
    field with nothing left is removed.
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
