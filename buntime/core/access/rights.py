"""Who may do what as an operator: callers, their verbs, and the one function that decides.

A verb is what a route of the API requires, such as `apps:read`. A role is a named set of verbs. A
caller has some verbs, for the apps that its globs cover. Only callers whose globs cover every app
may do what affects the runtime as a whole.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from buntime.core.values.tuples import NamedTuple

VERBS = (
    *("apps:read", "apps:open", "apps:deploy", "apps:remove", "workers:recycle", "logs:read"),
    *("secrets:write", "data:read", "data:write", "config:read", "config:write"),
    *("keys:read", "keys:write", "plugins:read", "plugins:write", "audit:read"),
    *("users:read", "users:write"),
)
_VIEWER = frozenset(("apps:read", "apps:open", "logs:read", "plugins:read", "config:read"))
_DEPLOYER = frozenset(
    ("apps:read", "apps:open", "apps:deploy", "workers:recycle", "logs:read", "secrets:write")
)
_ADMIN = frozenset(VERBS)
ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "viewer": _VIEWER,
        "deployer": _DEPLOYER,
        "operator": _ADMIN - {"keys:read", "keys:write", "config:write"},
        "admin": _ADMIN,
    }
)

EVERY_APP = "*"
GLOB_MAX_CHARS = 200

Source = Literal["key", "socket", "local", "master", "link", "anyone"]


class Caller(NamedTuple):
    """Who sends a request: a key, by its name, or a way in that has no name of its own."""

    name: str  # "laptop"; without a key "master", "local", "socket" or "link"
    source: Source
    verbs: frozenset[str]
    globs: tuple[str, ...] = (EVERY_APP,)  # "blog-*", "@acme/*"
    expires_at: float | None = None  # seconds since 1970

    def __repr__(self) -> str:
        return f"Caller({self.name!r}, {self.source}, {len(self.verbs)} verbs, {self.globs})"


ANYONE = Caller("anyone", "anyone", frozenset(), ())  # for a page that is open to everybody


def admin(name: str, source: Source) -> Caller:
    """A caller who may do everything: `admin("master", "master")`."""
    return Caller(name, source, _ADMIN)


def may(caller: Caller, verb: str, app: str | None = None) -> bool:
    """Whether a caller may do this to an app, "shop"; None means the runtime as a whole."""
    if verb not in caller.verbs:
        return False
    if app is None:
        return EVERY_APP in caller.globs
    return any(covers(glob, app) for glob in caller.globs)


def may_somewhere(caller: Caller, verb: str) -> bool:
    """Whether there may be an app for which the caller has this right. The handler then filters."""
    return verb in caller.verbs and bool(caller.globs)


def covers(glob: str, app: str) -> bool:
    """Whether `"blog-*"` covers `"blog-2"`. If both are globs: whether the first covers everything
    that the second does. The star of the second then counts as a character that only a star covers.
    """
    return _compiled(glob).fullmatch(app) is not None


def verbs_of(roles: Iterable[str]) -> frozenset[str]:
    """The verbs of these roles and single verbs: `["viewer", "data:read"]`. Raises KeyError."""
    return frozenset().union(*(ROLES.get(role) or _single(role) for role in roles))


def _single(verb: str) -> frozenset[str]:
    if verb not in _ADMIN:
        raise KeyError(verb)
    return frozenset((verb,))


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    """A star matches any run of characters; atomic, so that no name makes it slow."""
    first, *others = (re.escape(part) for part in re.split(r"\*+", glob))
    if not others:
        return re.compile(first)
    *middle, last = others
    between = "".join(f"(?>.*?{part})" for part in middle)
    return re.compile(f"{first}{between}.*{last}", re.DOTALL)
