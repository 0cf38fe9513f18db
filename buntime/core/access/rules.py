"""Access rules: operators decide who may reach which app, beside what the apps' manifests say.

    access:                                          # in the config file
      - {who: ["role:admin"], apps: [shop], paths: ["/admin/**"], do: allow}
      - {who: [anyone], apps: [shop], paths: ["/admin/**"], do: deny}

Rules are ordered, and the first one that fits a request decides. Where none fits, the app's
`visibility` and `auth` decide, as if there were no rules.

A path with more than one reading (`/x/../admin`) fits every rule that denies. It fits a rule that
allows only if that rule is about all paths. Where an earlier rule would let in somebody who has
signed in, a client that has not is asked to sign in rather than turned away.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

from buntime.core.access.publicroutes import Patterns, PublicRoutes
from buntime.core.access.rights import covers
from buntime.core.values.tuples import QuickTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

ANYONE = "anyone"
SIGNED_IN = "signed-in"
PLUGIN_PREFIX = "plugin:"  # in front of a plugin's name; apps have none

_LISTS = {"role": "roles", "group": "groups"}  # lists of texts in an identity
_OF_IDENTITY = ("role", "group", "user")
_KINDS = (*_OF_IDENTITY, "key", "net")
_NAME_MAX = 256  # characters

Does = Literal["allow", "deny"]


class Asker(QuickTuple):
    """Who sends a request, as far as that is known."""

    identity: Mapping[str, object] | None = None  # from a plugin of stage identity
    key: str | None = None  # the name of an active key
    address: str = ""  # "203.0.113.7"; "" for a unix socket


class Who(QuickTuple):
    """One entry of a rule's `who`: ("role", "admin"), ("anyone", ""), ("net", "10.0.0.0/8")."""

    kind: str
    name: str = ""
    network: IPv4Network | IPv6Network | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def is_met_by(self, asker: Asker) -> bool:
        """Whether this entry fits the sender."""
        identity = asker.identity
        if self.kind == ANYONE:
            return True
        if self.kind == "key":
            return asker.key == self.name
        if self.network is not None:
            return _is_within(asker.address, self.network)
        if identity is None:
            return False
        if self.kind == SIGNED_IN:
            return True
        if self.kind == "user":
            return identity.get("user") == self.name
        names = identity.get(_LISTS[self.kind])
        return isinstance(names, list) and self.name in names

    @property
    def wants_identity(self) -> bool:
        """Does this entry fit only people who have signed in?"""
        return self.kind == SIGNED_IN or self.kind in _OF_IDENTITY


class Rule(QuickTuple):
    """One rule, as it was written; an empty tuple means "all"."""

    who: tuple[Who, ...]
    does: Does
    apps: tuple[str, ...] = ()  # "blog-*"; plugins must be named exactly: "plugin:keyval"
    paths: tuple[str, ...] = ()  # below the app's base, as in publicRoutes
    methods: tuple[str, ...] = ()  # in capitals; GET includes HEAD
    place: str = ""  # "/etc/buntime/buntime.config.yaml:12"

    def is_about(self, app: str) -> bool:
        """Whether requests for this app, "shop" or "plugin:keyval", can fit."""
        if not app.startswith(PLUGIN_PREFIX):
            return not self.apps or any(covers(glob, app) for glob in self.apps)
        globs = (glob for glob in self.apps if glob.startswith(PLUGIN_PREFIX))
        return any(covers(glob, app) for glob in globs)

    @property
    def wants_identity(self) -> bool:
        """Does this rule depend on who has signed in?"""
        return any(who.wants_identity for who in self.who)

    def dump(self) -> dict[str, object]:
        """The rule as JSON, with the config file's names, without what was not written."""
        fields = {"who": list(map(str, self.who)), "do": self.does}
        more = {"apps": self.apps, "paths": self.paths, "methods": self.methods}
        return {**fields, **{name: list(value) for name, value in more.items() if value}}


class Decision(QuickTuple):
    """What the rules say about a request.

    `does` is None where no rule fits. `may_sign_in` means that an earlier rule would let the client
    in if the right person signed in.
    """

    does: Does | None = None
    rule: Rule | None = None
    may_sign_in: bool = False


class Rules:
    """The rules for one app, compiled."""

    __slots__ = ("_compiled", "wants_identity", "wants_key")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._compiled = tuple(map(_Compiled, rules))
        those = [each.rule for each in self._compiled]
        self.wants_identity = any(rule.wants_identity for rule in those)
        self.wants_key = any(who.kind == "key" for rule in those for who in rule.who)

    def __repr__(self) -> str:
        return f"Rules({[each.rule.dump() for each in self._compiled]!r})"

    def __bool__(self) -> bool:
        return bool(self._compiled)

    def decide(self, method: str, raw_path: str, asker: Asker) -> Decision:
        """What the first rule that fits says. `raw_path` is below the base, still encoded."""
        may_sign_in = False
        for each in self._compiled:
            rule = each.rule
            if not each.fits(method, raw_path):
                continue
            if any(who.is_met_by(asker) for who in rule.who):
                return Decision(rule.does, rule, may_sign_in)
            if rule.does == "allow" and asker.identity is None and rule.wants_identity:
                may_sign_in = True
        return Decision(None, None, may_sign_in)


def rules_of(app: str, rules: Iterable[Rule]) -> Rules:
    """The rules that are about an app, "shop", in order."""
    return Rules(rule for rule in rules if rule.is_about(app))


def parse_who(text: object) -> Who:
    """`"role:admin"` -> Who("role", "admin"). Raises BadValue."""
    if text in (ANYONE, SIGNED_IN):
        return Who(str(text))
    kind, _, name = text.partition(":") if isinstance(text, str) else ("", "", "")
    if kind not in _KINDS or not name or len(name) > _NAME_MAX or not name.isprintable():
        ways = ", ".join((ANYONE, SIGNED_IN, *(f"{kind}:NAME" for kind in _KINDS[:-1])))
        raise BadValue(f"{shown(text)} does not say who; write one of {ways}, net:10.0.0.0/8")
    if kind != "net":
        return Who(kind, name)
    try:
        return Who(kind, name, ip_network(name))
    except ValueError as exc:
        raise BadValue(f"{shown(name)} is not a network: {exc}") from None


class _Compiled:
    """A rule, prepared for comparing it with requests."""

    __slots__ = ("_closes", "_methods", "_opens", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._methods = frozenset(rule.methods) | ({"HEAD"} if "GET" in rule.methods else set())
        opens, closes = rule.paths and rule.does == "allow", rule.paths and rule.does == "deny"
        self._opens = PublicRoutes([("ALL", path) for path in rule.paths]) if opens else None
        self._closes = Patterns(rule.paths) if closes else None

    def fits(self, method: str, raw_path: str) -> bool:
        # In lower case it is a different method, which an app may treat as the same one.
        word = method if self.rule.does == "allow" else method.upper()
        if self._methods and word not in self._methods:
            return False
        if self._opens is not None:
            return self._opens.cover(method, raw_path)
        return self._closes is None or self._closes.could_cover(raw_path)


def is_address(text: str) -> bool:
    """Whether it is the address of a client: "203.0.113.7"."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_within(address: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        found = ip_address(address)
    except ValueError:  # a unix socket
        return False
    mapped = found.ipv4_mapped if found.version == 6 else None
    return (mapped or found) in network
