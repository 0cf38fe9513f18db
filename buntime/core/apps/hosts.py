"""Which app has which host. At its host an app is at `/`, and every path belongs to it.

    hosts: [shop.example.com, "*.shops.example.com"]

    Requested host              goes to
    -------------------------   ---------------------------------------------------------------
    shop.example.com            the app that names it
    SHOP.example.com.:8443      the same: case, a port and a trailing dot are ignored
    xn--bcher-kva.example       the app that names bücher.example: names are compared in IDNA form
    ann.shops.example.com       the app with the wildcard, which gets "ann"; it covers one label
    a.b.shops.example.com       nobody: two labels
    "", a%62, 192.0.2.1, [::1]  nobody: an app's host is always a plain name

An exact name comes before a wildcard. If two apps name the same host, the one gets it

1. to which an operator has given it, in the config file;
2. which had it first, as long as it still names it, or is away altogether: the owner of another
   folder must not get a host by naming it at the moment when its holder is away;
3. which comes first, in the order given.
"""

from collections.abc import Collection, Iterable, Mapping

from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

NAME_MAX = 253  # characters, RFC 1035 including the dots
_HOSTS_MAX = 100  # per app
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = regex(rf"{_LABEL}(?:\.{_LABEL})*")
_HOST_FIELD = regex(rf"({_LABEL}(?:\.{_LABEL})*)\.?(?::[0-9]{{0,5}})?")
_HOST_FIELD_MAX = NAME_MAX + len(".:65535")
_WILDCARD = "*."
_NOBODY: Mapping[str, str] = {}
# What IDNA 2003, which Python has, writes differently from browsers, or not at all.
_DEVIATIONS = frozenset("ßς\u200c\u200d")


class Claim(NamedTuple):
    """The name of the app that has a host; `label` is what matched the `*`."""

    app: str
    label: str = ""


class Dispute(NamedTuple):
    """A host that two apps name, or that one app names without having it: `app` has it, `other`
    does not."""

    host: str
    app: str
    other: str


class HostTable:
    """The hosts of all apps. Immutable."""

    __slots__ = ("_exact", "_wild", "disputes", "holders")

    def __init__(
        self,
        hosts_of: Iterable[tuple[str, Iterable[str]]] = (),
        *,
        given: Collection[str] = (),
        had: Mapping[str, str] = _NOBODY,
    ) -> None:
        """`hosts_of` are all apps with their hosts, as `parse_hosts` returns them; the apps in
        `given` have theirs from an operator. `had` maps hosts to the apps that had them first.
        """
        apps = {app: tuple(hosts) for app, hosts in hosts_of}
        self.holders = _holders(apps, given, had)
        self._exact: dict[str, str] = {}
        self._wild: dict[str, str] = {}  # without the star and its dot
        for host, app in self.holders.items():
            names = self._wild if host.startswith(_WILDCARD) else self._exact
            names[host.removeprefix(_WILDCARD)] = app
        self.disputes = tuple(
            Dispute(host, self.holders.get(host) or had[host], app)
            for app, hosts in apps.items()
            for host in hosts
            if self.holders.get(host) != app
        )

    def __repr__(self) -> str:
        return f"HostTable({len(self._exact)} hosts, {len(self._wild)} wildcards)"

    def __bool__(self) -> bool:
        return bool(self._exact or self._wild)

    def find(self, host: str) -> Claim | None:
        """The app that has this host; `host` is the Host field's value as received."""
        name = plain_host(host)
        if not name:
            return None
        if (app := self._exact.get(name)) is not None:
            return Claim(app)
        label, _, rest = name.partition(".")
        app = self._wild.get(rest)
        return None if app is None else Claim(app, label)


def _holders(
    apps: Mapping[str, Iterable[str]], given: Collection[str], had: Mapping[str, str]
) -> dict[str, str]:
    """The app of each host, by the rules in the module's docstring."""
    holders: dict[str, str] = {}
    for app in apps:
        if app in given:
            holders.update((host, app) for host in apps[app] if host not in holders)
    for app, hosts in apps.items():
        mine = [host for host in hosts if had.get(host) == app]
        holders.update((host, app) for host in mine if host not in holders)
    for app, hosts in apps.items():
        for host in hosts:
            if had.get(host) is None or had[host] in apps:
                holders.setdefault(host, app)
    return holders


def plain_host(host: str) -> str:
    """The name in a Host field's value: `"Shop.Example.com.:80"` -> "shop.example.com".

    "" for anything else: an address in brackets, percent signs, empty labels, more than DNS allows.
    """
    if len(host) > _HOST_FIELD_MAX:
        return ""
    found = _HOST_FIELD.fullmatch(host.lower()) if host.isascii() else None
    return found[1] if found is not None and len(found[1]) <= NAME_MAX else ""


def parse_hosts(value: object) -> tuple[str, ...]:
    """`hosts` of a manifest, each in IDNA form, in lower case. Raises BadValue."""
    if not isinstance(value, list):
        raise BadValue(f'{shown(value)} is not a list; write one like [shop.example.com, "*.a.b"]')
    if len(value) > _HOSTS_MAX:
        raise BadValue(f"{len(value)} hosts are too many; write {_HOSTS_MAX} at most")
    return tuple(dict.fromkeys(map(_host, value)))


def _host(value: object) -> str:
    text = value.removesuffix(".") if isinstance(value, str) else ""
    star = _WILDCARD if text.startswith(_WILDCARD) else ""
    name = _to_ascii(text.removeprefix(star))
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        raise BadValue(
            f'{shown(value)} is not a host; write a name like shop.example.com, or "*.example.com" '
            "for one label, without scheme, port and path"
        )
    if name.rpartition(".")[2].isdigit() or (name == "localhost" and not star):
        raise BadValue(
            f"{shown(value)} is where the runtime itself is reached; for an app at / there set "
            "RUNTIME_DEFAULT_APP"
        )
    return star + name


def _to_ascii(name: str) -> str:
    """`"bücher.example"` -> "xn--bcher-kva.example". Raises BadValue."""
    if name.isascii():
        return name.lower()
    if _DEVIATIONS.isdisjoint(name):
        try:
            return name.encode("idna").decode("ascii").lower()
        except UnicodeError:
            pass
    raise BadValue(
        f"{shown(name)} has more than one form in IDNA; write it as browsers send it, "
        "like xn--bcher-kva"
    )
