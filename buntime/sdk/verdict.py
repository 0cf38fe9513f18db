"""Continue: what a hook returns to let a request go on, changed or remembered.

Everything is checked when it is made, so that the error points to the plugin's own code.
"""

from __future__ import annotations

from buntime.sdk.fields import Headers, is_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Any

CACHE_MAX_S = 60
TAGS_MAX = 32
TAG_CHARACTERS_MAX = 256
# RFC 9110 7.6.1 and RFC 9112 6: for one connection or one message; the runtime controls these.
_FRAMING = frozenset(
    (
        "connection content-length expect keep-alive proxy-connection te trailer "
        "transfer-encoding upgrade"
    ).split()
)


class Continue:
    """Let the request go on: `Continue(headers={"x-user": "ann", "x-debug": None})`.

    `headers` are set, or removed by None. `path` and `app` send the request elsewhere (stage
    route), an `identity` says who the client is (stage identity). `cache_s` keeps the verdict for
    this many seconds (60 at most) for requests with the same app, host, method, path (or
    `any_path`) and values of `vary`: names of header fields, "cookie:NAME", "client".
    `plugin.forget` drops it by one of its `tags`. `until`, a time in seconds or an aware datetime,
    ends it, and the streams that it has let in.
    """

    __slots__ = ("message",)

    def __init__(  # noqa: PLR0913  # by name only, each of its own meaning
        self,
        *,
        headers: Mapping[str, str | None] | None = None,
        path: str | None = None,
        app: str | None = None,
        identity: dict[str, Any] | None = None,
        cache_s: float | None = None,
        vary: Iterable[str] = (),
        any_path: bool = False,
        tags: Iterable[str] = (),
        until: float | datetime | None = None,
    ) -> None:
        fields = {
            "headers": None if headers is None else _headers(headers),
            "path": None if path is None else _path(path),
            "app": None if app is None else _app(app),
            "identity": None if identity is None else _identity(identity),
            "cacheS": None if cache_s is None else _cache_s(cache_s),
            "vary": [_source(each) for each in _texts(vary, "vary")] or None,
            "anyPath": True if any_path else None,
            "tags": _tags(_texts(tags, "tags")) or None,
            "until": None if until is None else _time_s(until),
        }
        if cache_s is None and (fields["vary"] or any_path):
            raise ValueError("vary and any_path say how a verdict is cached: give cache_s too")
        self.message = {name: value for name, value in fields.items() if value is not None}

    def __repr__(self) -> str:
        return f"Continue({self.message!r})"


def _headers(headers: Mapping[str, str | None]) -> dict[str, str | None]:
    fields: dict[str, str | None] = {}
    for name, value in headers.items():
        ((key, checked),) = Headers([(name, "" if value is None else value)]).items()
        if key in _FRAMING:
            raise ValueError(f"header {name!r}: it belongs to the connection; a hook cannot set it")
        fields[key] = None if value is None else checked
    return fields


def _path(path: Any) -> str:
    if not isinstance(path, str) or not path.startswith("/") or not path.isprintable():
        raise ValueError(f'path is text that starts with "/", such as "/cart", not {path!r}')
    return path


def _app(app: Any) -> str:
    if not isinstance(app, str) or not app:
        raise ValueError(f"app is the name of an app, not {app!r}")
    return app


def _identity(identity: Any) -> dict[str, Any]:
    if not isinstance(identity, dict):
        raise TypeError(f"identity is a dict, not {identity!r}")
    _check_json(identity, "identity")
    return identity


def _check_json(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}, but keys in JSON are text")
            _check_json(inner, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_json(inner, where)
    elif isinstance(value, float) and not -1e308 <= value <= 1e308:
        raise ValueError(f"{where} is {value!r}, which JSON cannot hold")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise TypeError(f"{where} is of type {type(value).__name__}, which JSON cannot hold")


def _cache_s(cache_s: float) -> float:
    if type(cache_s) not in (int, float) or not 0 <= cache_s <= CACHE_MAX_S:
        raise ValueError(f"cache_s is 0 to {CACHE_MAX_S} seconds, not {cache_s!r}")
    return cache_s


def _texts(values: Iterable[str], what: str) -> list[str]:
    if isinstance(values, str):
        raise TypeError(f"{what} is a list of texts, not the text {values!r}")
    texts = list(values)
    for each in texts:
        if not isinstance(each, str):
            raise TypeError(f"{what} is a list of texts; {each!r} is not a text")
    return texts


def _source(text: str) -> str:
    """`"Cookie:sid"` is no name of a header; `"Authorization"` -> `"authorization"`."""
    kind, colon, name = text.partition(":")
    if colon:
        if kind != "cookie" or not is_token(name):
            raise ValueError(f'vary has {text!r}; a cookie is "cookie:NAME"')
        return text
    if not is_token(text):
        raise ValueError(f'vary has {text!r}; it takes names of headers, "cookie:NAME", "client"')
    return text.lower()


def _tags(tags: list[str]) -> list[str]:
    if len(tags) > TAGS_MAX or any(not 0 < len(tag) <= TAG_CHARACTERS_MAX for tag in tags):
        raise ValueError(
            f"tags are at most {TAGS_MAX} texts of 1 to {TAG_CHARACTERS_MAX} characters"
        )
    return tags


def _time_s(until: float | datetime) -> float:
    if type(until) in (int, float) and 0 <= until < 1e12:  # type: ignore[operator]  # it is a number
        return until  # type: ignore[return-value]  # the same
    if getattr(until, "tzinfo", None) is None or not hasattr(until, "timestamp"):
        raise ValueError(f"until is seconds since 1970 or a datetime with a zone, not {until!r}")
    return float(until.timestamp())
