"""Splits a request's target into the app that it names and the rest, which the app sees.

    "/shop@1/cart?x=1"       Target("shop", "1", base="/shop@1", rest="/cart")
    "/shop"                  Target("shop", None, base="/shop", rest="")
    "/@acme/shop@%5E1.0.0/"  Target("@acme/shop", "^1.0.0", "/@acme/shop@%5E1.0.0", "/")
    "/", "*", "//shop", "/../x", "/.git/config", "/@acme", "/shop@"     None

`base` and `rest` are the target's own bytes, so `target.startswith(base)` always holds, and links
made with `base` lead back to the same app and version. Only the name and the range are decoded, and
only letters that have no special meaning to a file system are accepted: a name cannot contain "..",
"/" or NUL, however it is encoded.

A name in `RESERVED` is split like any other; the caller must check for these first.
"""

from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

_NAME = r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
_FULL_NAME = rf"(?:@{_NAME}/)?{_NAME}"
_APP_NAME = regex(_FULL_NAME)
# Characters of npm ranges; `versions` decides whether it is one.
_HEAD = regex(rf"/({_FULL_NAME})(?:@([0-9A-Za-z.*^~<>=|+ -]+))?")

_HEAD_MAX = 512  # characters of name and range; keeps each cache below 1 MiB
NAME_MAX = 200  # characters; file systems allow 255 for a folder with its version


# First path segments that never reach an app: the runtime itself answers there.
RESERVED = frozenset({"api", "health", ".well-known", "metrics"})


class Target(NamedTuple):
    """A request's path, split. `spec` is None where no version is requested."""

    name: str
    spec: str | None
    base: str
    rest: str


def split_target(target: str) -> Target | None:
    """The app that `target`, in origin form, is for; None where it can be for no app."""
    path = target.partition("?")[0]
    end = path.find("/", 1)
    if path.startswith(("/@", "/%40")):
        end = path.find("/", end + 1) if end > 0 else -1
    base = path if end < 0 else path[:end]
    named = _read_head(base) if len(base) <= _HEAD_MAX else None
    return named and Target(named[0], named[1], base, path[len(base) :])


def is_app_name(text: str) -> bool:
    """Whether a request can reach an app of this name: "shop", "@acme/shop", not ".git"."""
    return len(text) <= NAME_MAX and _APP_NAME.fullmatch(text) is not None


def reserved_path(target: str, api_prefix: str) -> str | None:
    """`"/_/api/workers?x=1"` -> "/api/workers" with the API prefix "/_"; None for apps."""
    path = target.partition("?")[0]
    if api_prefix and path.startswith(api_prefix + "/api"):
        path = path[len(api_prefix) :]
    elif api_prefix and path.startswith("/api"):
        return None
    end = path.find("/", 1)
    first = path[1:] if end < 0 else path[1:end]
    return path if first in RESERVED else None


@lru_cache(maxsize=1024)
def _read_head(base: str) -> tuple[str, str | None] | None:
    """`"/shop@%5E1"` -> ("shop", "^1"). The bounded cache saves 5 us on each request."""
    try:
        match = _HEAD.fullmatch(unquote_to_bytes(base).decode("ascii"))
    except UnicodeDecodeError:
        return None
    if match is None or len(match[1]) > NAME_MAX:
        return None
    # An encoded slash must not turn one segment into two: "/@acme%2Fshop".
    return (match[1], match[2]) if match[1].count("/") == base.count("/") - 1 else None


def default_target(app: str | None) -> Target | None:
    """RUNTIME_DEFAULT_APP, `"shop@^1"`, as the target of a request without a path."""
    target = split_target(f"/{quote(app, safe='/@')}") if app else None
    return target and target._replace(base="")
