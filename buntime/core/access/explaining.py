"""Why a request reaches an app, or does not: each check in its order, and what it says.

explain(visibility="protected", is_public=False, key=..., app="shop", now=...)
-> [Check("visibility", None, "the app is protected: ..."), Check("key", True, "...")]
"""

from typing import NamedTuple

from buntime.core.access.keyring import KeyRecord
from buntime.core.access.rights import may


class Check(NamedTuple):
    """`passes` is None where the check alone decides nothing."""

    check: str
    passes: bool | None
    why: str


def explain(
    *,
    visibility: str,
    is_public: bool,
    key: KeyRecord | None,
    app: str,
    now: float,
    maintenance: bool = False,
    hooks: tuple[tuple[str, str], ...] = (),
) -> list[Check]:
    """The checks of a request. `is_public` is whether the app's publicRoutes cover it, `hooks` are
    (plugin, stage) of those that are asked."""
    if visibility == "internal":
        return [Check("visibility", False, "the app is internal: nobody reaches it by a request")]
    checks = [
        Check("plugin", None, f"{plugin} is asked, in stage {stage}, and may refuse")
        for plugin, stage in hooks
        if stage == "identity"
    ]
    checks += _of_key(visibility, is_public=is_public, key=key, app=app, now=now)
    if maintenance:
        checks.append(Check("maintenance", False, "the app is closed for a while, by an operator"))
    checks += [
        Check("plugin", None, f"{plugin} is asked, in stage {stage}, and may refuse")
        for plugin, stage in hooks
        if stage != "identity"
    ]
    return checks


def _of_key(
    visibility: str, *, is_public: bool, key: KeyRecord | None, app: str, now: float
) -> list[Check]:
    if visibility == "public":
        return [Check("visibility", True, "the app is public: no key is needed")]
    if is_public:
        return [Check("visibility", True, "publicRoutes of the app cover this: no key is needed")]
    told = [Check("visibility", None, "the app is protected: a key is needed")]
    if key is None:
        return [*told, Check("key", False, "without a key: 401")]
    return [*told, of_right(key, "apps:open", app, now)]


def of_right(key: KeyRecord, verb: str, app: str, now: float) -> Check:
    """Whether a key may do this at an app, and why."""
    standing, caller = key.standing(now), key.caller
    if standing != "active":
        return Check("key", False, f"the key {key.name} is {standing}: 401")
    if verb not in caller.verbs:
        roles = ", ".join(key.roles)
        return Check("key", False, f"the key {key.name} ({roles}) has not the right {verb}: 403")
    globs = ", ".join(key.globs)
    if not may(caller, verb, app):
        return Check("key", False, f"the key {key.name} covers {globs}, and not {app}: 403")
    return Check("key", True, f"the key {key.name} has the right {verb} at {globs}")


def is_let_in(checks: list[Check]) -> bool:
    """Whether no check of the runtime's own stands in the way."""
    return all(check.passes is not False for check in checks)
