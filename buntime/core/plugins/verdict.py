"""What a plugin's hook said: a worker's VERDICT, which may be anything, checked and as a value.

    Continue    the request goes on, with changes to it
    Respond     the plugin answers
    Change      an answer gets another status and other fields (on_response)
    Done        a hook of the plugin's own life cycle is over
    Failed      it raised

What a hook must not say is a `BadVerdict`: it is answered like a failure (502), and logged with its
reason. `applied` turns a request's head and a `Continue` into a new head.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from buntime.core.http1.answer import BODILESS
from buntime.core.http1.head import Head
from buntime.core.http1.section import Fields
from buntime.core.plugins.hookfields import (
    BadVerdict,
    Changes,
    check_framing,
    plain_name,
    read_changes,
    read_pairs,
)
from buntime.core.plugins.identity import BadIdentity, Identity, read_identity
from buntime.core.plugins.manifest import Stage
from buntime.core.plugins.rerouting import AppChoice, read_app, read_path
from buntime.core.plugins.vary import Source, read_vary
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

CACHE_MAX_S = 60.0
# Of the fields of a request with all that hooks have added: twice what a client may send. JSON may
# write six characters for each, which leaves a quarter of a line (`wire.MAX_LINE`) for the rest.
FIELDS_MAX_CHARS = 128 * 1024
_TAGS_MAX = 32
_TAG_MAX_CHARS = 256
_UNTIL_MAX_S = 1e12
_ERROR_MAX_CHARS = 2000
_TRACEBACK_MAX_CHARS = 64 * 1024
_BODILESS = BODILESS | {101}
LIFE_HOOKS = frozenset(("on_server_start", "on_shutdown"))


class Continue(NamedTuple):
    """The request goes on."""

    changes: Changes = ()  # to its header fields
    cookies: tuple[str, ...] = ()  # values of Set-Cookie, for the answer
    path: str | None = None  # encoded, as in a target
    app: AppChoice | None = None
    identity: Identity | None = None
    # How long, for whom and by what it may be cached, see `verdictcache`.
    cache_s: float = 0.0
    vary: tuple[Source, ...] = ()
    any_path: bool = False
    tags: tuple[str, ...] = ()
    until_s: float | None = None  # since 1970: the verdict ends then, and so do open streams


PASS = Continue()  # the verdict of most hooks on most requests


class Respond(NamedTuple):
    """The plugin answers. The body follows like that of any answer; with `end` it is complete."""

    status: int
    headers: Fields
    end: bool


class Change(NamedTuple):
    """An answer's head, as on_response wants it."""

    status: int
    headers: Fields


class Done(NamedTuple):
    """A hook of the plugin's own life cycle is over."""


class Failed(NamedTuple):
    """The hook raised, or returned something that is not a verdict."""

    error: str
    traceback: str


Verdict = Continue | Respond | Change | Done | Failed


class Question(NamedTuple):
    """What a hook was asked, as far as it decides what the hook may say."""

    hook: str  # "on_request", "on_response", "on_server_start", "on_shutdown"
    stage: Stage = "content"
    has_identity: bool = False  # an earlier hook has set an identity
    api_prefix: str | None = ""  # None where no path belongs to the runtime
    seen: Change | None = None  # on_response: the head that it saw, with its framing fields
    head: Head | None = None  # on_request: that of the request, as earlier hooks have left it


def is_pass(message: Mapping[str, Any]) -> bool:
    """Whether a verdict on on_request is `PASS`, like most: then there is nothing else to read."""
    return message.get("action") == "continue" and message.keys() <= _KEYS_OF_A_PASS


def read_verdict(message: Mapping[str, Any], question: Question) -> Verdict:
    """Read a VERDICT. Raises BadVerdict."""
    action = message.get("action")
    if action == "failed":
        return _failed(message)
    allowed = _ALLOWED.get(question.hook, ())
    if not isinstance(action, str) or action not in allowed:
        raise BadVerdict(
            f"action {shown(action)} is not one of {question.hook}'s: {', '.join(allowed)}"
        )
    match action:
        case "continue":
            return _continue(message, question)
        case "respond":
            return Respond(
                _status(message), read_pairs(message.get("headers")), _flag(message, "end", True)
            )
        case "change":
            return _change(message, question)
    return Done()


_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "on_request": ("continue", "respond"),
    "on_response": ("continue", "respond", "change"),
    **dict.fromkeys(LIFE_HOOKS, ("done",)),
}


def applied(head: Head, verdict: Continue) -> Head:
    """The head of a request that goes on, with its fields and path changed.

    A client's `x_user` is removed along with X-User: an app may take either for the other.
    """
    target, headers, host, size = head.target, head.headers, head.host, head.fields_bytes
    if verdict.path is not None:
        _, mark, query = target.partition("?")
        target = verdict.path + mark + query
    if verdict.changes:
        headers, added = _changed(headers, verdict.changes)
        host = dict(added).get("host", host)
        size += _size(added)
    return head._replace(target=target, headers=headers, host=host, fields_bytes=size)


def _changed(fields: Fields, changes: Changes) -> tuple[Fields, Fields]:
    """The fields after the changes, and those of them that are new."""
    named = {plain_name(name) for name, _ in changes}
    added = tuple((name, value) for name, value in changes if value is not None)
    return tuple(pair for pair in fields if plain_name(pair[0]) not in named) + added, added


def _size(fields: Fields) -> int:
    return sum(len(name) + len(value) + 4 for name, value in fields)


def has_room(head: Head, changes: Changes) -> bool:
    """Whether the fields of a request still fit a worker's line with these changes."""
    added = sum(len(value or "") + len(name) + 4 for name, value in changes)
    if head.fields_bytes + added <= FIELDS_MAX_CHARS:  # it counts what was replaced, too
        return True
    return _size(_changed(head.headers, changes)[0]) <= FIELDS_MAX_CHARS


def _continue(message: Mapping[str, Any], question: Question) -> Continue:
    if message.keys() <= _KEYS_OF_A_PASS:
        return PASS
    is_response = question.hook == "on_response"
    if is_response and any(message.get(key) is not None for key in _OF_REQUESTS):
        raise BadVerdict("on_response can change the response that it was given, and nothing else")
    is_route = question.stage == "route"
    headers = message.get("headers")
    changes = () if headers is None else read_changes(headers, may_set_host=is_route)
    if changes and question.head is not None and not has_room(question.head, changes):
        raise BadVerdict(
            f"the request would have headers of more than {FIELDS_MAX_CHARS >> 10} KiB"
        )
    cookies = tuple(value for name, value in changes if name == "set-cookie" and value is not None)
    path, app = message.get("path"), message.get("app")
    if not is_route and (path is not None or app is not None):
        key = "app" if path is None else "path"
        raise BadVerdict(f"{key} can only be set in stage route, not in stage {question.stage}")
    cache_s = _seconds(message, "cacheS", CACHE_MAX_S)
    vary, any_path = read_vary(message.get("vary")), _flag(message, "anyPath", False)
    if cache_s is None and (vary or any_path):
        raise BadVerdict("vary and anyPath say how a verdict is cached, but cacheS is missing")
    return Continue(
        changes=tuple(pair for pair in changes if pair[0] != "set-cookie"),
        cookies=cookies,
        path=None if path is None else read_path(path, question.api_prefix),
        app=None if app is None else read_app(app),
        identity=_identity(message.get("identity"), question),
        cache_s=cache_s or 0.0,
        vary=vary,
        any_path=any_path,
        tags=_tags(message.get("tags")),
        until_s=_seconds(message, "until", _UNTIL_MAX_S),
    )


_KEYS_OF_A_PASS = frozenset(("type", "id", "action"))
_OF_REQUESTS = "headers path app identity cacheS vary anyPath tags until".split()


def _identity(value: object, question: Question) -> Identity | None:
    if value is None:
        return None
    if question.stage != "identity":
        raise BadVerdict(f"an identity can only be set in stage identity, not {question.stage}")
    if question.has_identity:
        raise BadVerdict("an identity has been set already; it can be set only once")
    try:
        return read_identity(value)
    except BadIdentity as exc:
        raise BadVerdict(f"identity: {exc}") from None


def _change(message: Mapping[str, Any], question: Question) -> Change:
    seen = question.seen or Change(200, ())
    change = Change(_status(message, also=seen.status), read_pairs(message.get("headers")))
    check_framing(seen.headers, change.headers)
    if change.status != seen.status and not _BODILESS.isdisjoint((change.status, seen.status)):
        raise BadVerdict(
            f"status {seen.status} cannot become {change.status}: one of them has no body"
        )
    return change


def _failed(message: Mapping[str, Any]) -> Failed:
    return Failed(
        _words(message.get("error"), _ERROR_MAX_CHARS) or "no reason was given",
        _words(message.get("traceback"), _TRACEBACK_MAX_CHARS),
    )


def _words(value: object, chars_max: int) -> str:
    return value[:chars_max] if isinstance(value, str) else ""


def _status(message: Mapping[str, Any], also: int = 200) -> int:
    status = message.get("status")
    if type(status) is not int or not (200 <= status <= 599 or status == also):
        raise BadVerdict(f"status {shown(status)} is not a number from 200 to 599")
    return status


def _flag(message: Mapping[str, Any], key: str, default: bool) -> bool:
    value = message.get(key, default)
    if not isinstance(value, bool):
        raise BadVerdict(f"{key} {shown(value)} is neither true nor false")
    return value


def _seconds(message: Mapping[str, Any], key: str, most: float) -> float | None:
    value = message.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= most or not math.isfinite(value):
        raise BadVerdict(f"{key} {shown(value)} is not a number from 0 to {most:g}")
    return float(value)


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > _TAGS_MAX:
        raise BadVerdict(f"tags {shown(value)} is not a list of at most {_TAGS_MAX} texts")
    for tag in value:
        if not isinstance(tag, str) or not 0 < len(tag) <= _TAG_MAX_CHARS:
            raise BadVerdict(f"tags: {shown(tag)} is not text of 1 to {_TAG_MAX_CHARS} characters")
    return tuple(dict.fromkeys(value))
