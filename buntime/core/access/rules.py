"""Access rules: what operators say of who may reach which app, beside what apps say of themselves.

    access:                                          # in the config file
      - {who: ["role:admin"], apps: [shop], paths: ["/admin/**"], do: allow}
      - {who: [anyone], apps: [shop], paths: ["/admin/**"], do: deny}

Rules have an order, and the first one that fits a request decides. Where none fits, the app's
`visibility` and `auth` do, as if there were no rules.

A path with more than one reading (`/x/../admin`) fits each rule that denies, and none that allows,
unless that one is about all paths. Where a rule before it would let somebody in who has signed in,
who has not is asked to do so rather than turned away.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple

from buntime.core.access.publicroutes import Patterns, PublicRoutes
from buntime.core.access.rights import covers
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

ANYONE = "anyone"
SIGNED_IN = "signed-in"
PLUGIN_PREFIX = "plugin:"  # before a plugin's name, where apps bear theirs alone

_LISTS = {"role": "roles", "group": "groups"}  # of an identity, each a list of texts
_OF_IDENTITY = ("role", "group", "user")
_KINDS = (*_OF_IDENTITY, "key", "net")
_NAME_MAX = 256  # characters

Does = Literal["allow", "deny"]


class Asker(NamedTuple):
    """Who asks, as far as it is known."""

    identity: Mapping[str, object] | None = None  # by a plugin of stage identity
    key: str | None = None  # the name of a key that is active
    address: str = ""  # "203.0.113.7"; "" of a unix socket


class Who(NamedTuple):
    """One way to be meant by a rule: ("role", "admin"), ("anyone", ""), ("net", "10.0.0.0/8")."""

    kind: str
    name: str = ""
    network: IPv4Network | IPv6Network | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def is_met_by(self, asker: Asker) -> bool:
        """Whether this is who asks."""
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
        """Can it be met by nobody who has not signed in?"""
        return self.kind == SIGNED_IN or self.kind in _OF_IDENTITY


class Rule(NamedTuple):
    """One rule, as it was written; an empty tuple is "all"."""

    who: tuple[Who, ...]
    does: Does
    apps: tuple[str, ...] = ()  # "blog-*"; of plugins those alone that are named: "plugin:keyval"
    paths: tuple[str, ...] = ()  # below the app's base, as in publicRoutes
    methods: tuple[str, ...] = ()  # in capitals; HEAD is meant where GET is
    place: str = ""  # "/etc/buntime/buntime.config.yaml:12"

    def is_about(self, app: str) -> bool:
        """Whether requests for this app can fit: "shop", "plugin:keyval"."""
        if not app.startswith(PLUGIN_PREFIX):
            return not self.apps or any(covers(glob, app) for glob in self.apps)
        globs = (glob for glob in self.apps if glob.startswith(PLUGIN_PREFIX))
        return any(covers(glob, app) for glob in globs)

    @property
    def wants_identity(self) -> bool:
        """Does it make a difference for this rule who has signed in?"""
        return any(who.wants_identity for who in self.who)

    def dump(self) -> dict[str, object]:
        """As JSON, by the names of the config file, without what is not said."""
        said = {"who": list(map(str, self.who)), "do": self.does}
        more = {"apps": self.apps, "paths": self.paths, "methods": self.methods}
        return {**said, **{name: list(value) for name, value in more.items() if value}}


class Decision(NamedTuple):
    """What the rules say of a request.

    `does` is None where none fits. `may_sign_in`: somebody who has not signed in would be let in
    by a rule that comes before, were he the right one.
    """

    does: Does | None = None
    rule: Rule | None = None
    may_sign_in: bool = False


class Rules:
    """The rules of one app, compiled."""

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
        """What the first rule says that fits. `raw_path` is below the base, still encoded."""
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
    """The rules that are about an app, "shop", in their order."""
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
    """A rule, and what it takes to see whether a request fits."""

    __slots__ = ("_closes", "_methods", "_opens", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._methods = frozenset(rule.methods) | ({"HEAD"} if "GET" in rule.methods else set())
        opens, closes = rule.paths and rule.does == "allow", rule.paths and rule.does == "deny"
        self._opens = PublicRoutes([("ALL", path) for path in rule.paths]) if opens else None
        self._closes = Patterns(rule.paths) if closes else None

    def fits(self, method: str, raw_path: str) -> bool:
        # In small letters it is another method, which an app may take for the same.
        word = method if self.rule.does == "allow" else method.upper()
        if self._methods and word not in self._methods:
            return False
        if self._opens is not None:
            return self._opens.cover(method, raw_path)
        return self._closes is None or self._closes.could_cover(raw_path)


def _is_within(address: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        found = ip_address(address)
    except ValueError:  # a unix socket's
        return False
    mapped = found.ipv4_mapped if found.version == 6 else None
    return (mapped or found) in network
