"""Explains why a request does or does not reach an app: each check in order, with its result.

explain(Situation("shop", "protected", is_public=False, now=..., key=...))
-> [Check("visibility", None, "the app is protected: ..."), Check("key", True, "...")]
"""

from collections.abc import Mapping

from buntime.core.access.keyring import KeyRecord
from buntime.core.access.rights import may
from buntime.core.access.rules import Decision, Rule
from buntime.core.values.tuples import NamedTuple


class Check(NamedTuple):
    """`passes` is None where the check alone does not decide."""

    check: str
    passes: bool | None
    why: str


class Situation(NamedTuple):
    """Everything about a request that decides whether it reaches an app."""

    app: str
    visibility: str
    is_public: bool  # do the app's publicRoutes cover it?
    now: float  # seconds since 1970
    key: KeyRecord | None = None
    auth: str = "none"
    decision: Decision = Decision()  # from the operator's rules
    identity: Mapping[str, object] | None = None
    signs_in: bool = True  # does any plugin find out who has signed in?
    maintenance: bool = False
    hooks: tuple[tuple[str, str], ...] = ()  # (plugin, stage) of the hooks that are asked


def explain(found: Situation) -> list[Check]:
    """The checks that a request goes through, in order."""
    if found.visibility == "internal":
        return [Check("visibility", False, "the app is internal: no client can reach it")]
    checks = [*_of_plugins(found, behind=False), *_of_rules(found)]
    if found.maintenance:
        checks.append(Check("maintenance", False, "the app is closed for a while, by an operator"))
    return [*checks, *_of_plugins(found, behind=True)]


def _of_plugins(found: Situation, *, behind: bool) -> list[Check]:
    """Plugins of stage identity are asked before access is decided, all others after it."""
    return [
        Check("plugin", None, f"{plugin} is asked, in stage {stage}, and may refuse")
        for plugin, stage in found.hooks
        if (stage != "identity") is behind
    ]


def _of_rules(found: Situation) -> list[Check]:
    decision, rule = found.decision, found.decision.rule
    if rule is None:
        return [*_of_sign_in(found), *_of_key(found)]
    sentence = f"the rule at {rule.place} decides: {_words(rule)}"
    if decision.does == "allow":
        return [Check("rule", True, sentence)]
    if decision.may_sign_in:
        sentence += (
            "; a rule before it would let in people who have signed in: 401, or sent to sign in"
        )
    return [Check("rule", False, sentence if decision.may_sign_in else f"{sentence}: 403")]


def _words(rule: Rule) -> str:
    """`"deny anyone at /admin/**"`."""
    who = ", ".join(map(str, rule.who))
    where = f" at {', '.join(rule.paths)}" if rule.paths else ""
    return f"{rule.does} {who}{where}{' by ' + ', '.join(rule.methods) if rule.methods else ''}"


def _of_sign_in(found: Situation) -> list[Check]:
    if found.auth == "none":
        return []
    if found.is_public:
        return [Check("auth", True, "publicRoutes of the app cover this: no sign-in is needed")]
    if not found.signs_in:
        return [Check("auth", False, "no plugin is enabled that signs people in: 503")]
    if found.identity is not None:
        return [Check("auth", True, "somebody has signed in")]
    if found.auth == "optional":
        return [Check("auth", None, "a sign-in is optional: the app gets the user, if any")]
    return [Check("auth", False, "the app requires a sign-in: 401, or sent to sign in")]


def _of_key(found: Situation) -> list[Check]:
    if found.visibility == "public":
        return [Check("visibility", True, "the app is public: no key is needed")]
    if found.is_public:
        return [Check("visibility", True, "publicRoutes of the app cover this: no key is needed")]
    checks = [Check("visibility", None, "the app is protected: a key is needed")]
    if found.key is not None:
        return [*checks, of_right(found.key, "apps:open", found.app, found.now)]
    if found.decision.may_sign_in:
        why = (
            "without a key: a rule would let in people who have signed in: 401, or sent to sign in"
        )
        return [*checks, Check("key", False, why)]
    return [*checks, Check("key", False, "without a key: 401")]


def of_right(key: KeyRecord, verb: str, app: str, now: float) -> Check:
    """Whether a key has this right for an app, and why."""
    standing, caller = key.standing(now), key.caller
    if standing != "active":
        return Check("key", False, f"the key {key.name} is {standing}: 401")
    if verb not in caller.verbs:
        roles = ", ".join(key.roles)
        return Check("key", False, f"the key {key.name} ({roles}) lacks the right {verb}: 403")
    globs = ", ".join(key.globs)
    if not may(caller, verb, app):
        return Check("key", False, f"the key {key.name} covers {globs}, but not {app}: 403")
    return Check("key", True, f"the key {key.name} has the right {verb} for {globs}")


def is_let_in(checks: list[Check]) -> bool:
    """Whether none of the runtime's own checks refuses the request."""
    return all(check.passes is not False for check in checks)
