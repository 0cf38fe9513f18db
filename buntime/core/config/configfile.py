"""Reads the config file: what operators say about plugins and apps, with line numbers.

    plugins:
      keyval:
        enabled: true
        options: {path: kv.db}
        grants: {kv: [app:shop, "plugin:*"]}
    apps:
      "blog-*": {user: blog, sandbox: strict}
    access:
      - {who: anyone, apps: [shop], paths: ["/admin/**"], do: deny}

It is as strict as manifests are. All faults are reported, not just the first. No message shows an
option's value, which may be a password.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from types import MappingProxyType

from buntime.core.access.rules import Rule
from buntime.core.apps.credentials import withheld
from buntime.core.apps.document import DocumentError, Entry, read_document
from buntime.core.apps.floors import (
    NO_FLOORS,
    ROW_KEYS,
    Floors,
    Row,
    Word,
    check_glob,
    meaning_of,
    parse_word,
)
from buntime.core.apps.router import is_app_name
from buntime.core.config.accessrules import RULES_MAX, parse_rule
from buntime.core.errors import ConfigError
from buntime.core.plugins.offers import Opening, parse_grants
from buntime.core.plugins.options import Given
from buntime.core.values.frozen import frozen
from buntime.core.values.kinds import one_of, yes_or_no
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, unknown_key

CONFIG_NAME = "buntime.config.yaml"  # looked for in the working folder
SIZE_MAX_BYTES = 256 * 1024  # keeps a wrong file from taking seconds

_LEVELS = 4  # plugins, NAME, options, and what is in them
_PLUGINS_MAX = 1000
_ROWS_MAX = 1000


class Key(NamedTuple):
    """A key of the file, as docs/config.md shows it; `NAME` stands for a plugin's name."""

    path: str
    kind: str
    meaning: str


KEYS = (
    Key("plugins", "mapping", "plugins by their names"),
    Key("plugins.NAME.enabled", "boolean", "whether it runs; overrides its manifest"),
    Key("plugins.NAME.options", "mapping", "values of the options that its manifest defines"),
    Key("plugins.NAME.grants", "mapping", "for each of its services, who may call it"),
    Key("plugins.NAME.frame", "word", "`trusted`: its pages have no sandbox for operators"),
    Key("apps", "mapping", "apps by their names, in which `*` stands for any characters"),
    Key("access", "list of rules", "who may reach which app, see [access.md](access.md)"),
    *(Key(f"apps.NAME.{key.name}", key.kind, meaning_of(key.name)) for key in ROW_KEYS.values()),
)
_ROOT = ("plugins", "apps", "access")
_OF_A_PLUGIN = ("enabled", "options", "grants", "frame")
# For later versions: not a typo of `plugins`, and not to be ignored in silence.
_LATER = ("edge", "keys")


class Stated(NamedTuple):
    """A value of the file, and its place: "/etc/buntime/buntime.config.yaml:4"."""

    value: bool
    place: str


class Grant(NamedTuple):
    """Who may call a service, and where the file says so."""

    opening: Opening
    place: str


class Frame(NamedTuple):
    """Whether a plugin's pages are trusted, and where the file says so."""

    trusted: bool
    place: str


@frozen()
class PluginConfig:
    """What the file says about one plugin; `place` is that of its name."""

    place: str
    enabled: Stated | None = None
    options: Mapping[str, Given] = field(default_factory=dict, repr=False)
    grants: Mapping[str, Grant] = field(default_factory=dict)
    frame: Frame | None = None


_NOTHING = PluginConfig("")


@frozen()
class ConfigFile:
    """What a config file says. Without one, `path` is ""."""

    path: str = ""
    plugins: Mapping[str, PluginConfig] = field(default_factory=dict)
    apps: Floors = NO_FLOORS
    access: tuple[Rule, ...] = ()

    def of(self, plugin: str) -> PluginConfig:
        """What it says about a plugin, which may be nothing."""
        return self.plugins.get(plugin, _NOTHING)

    @property
    def grants(self) -> Mapping[str, Mapping[str, Opening]]:
        """Who may call what, by plugin and service."""
        return {
            name: {service: grant.opening for service, grant in each.grants.items()}
            for name, each in self.plugins.items()
            if each.grants
        }


NO_CONFIG = ConfigFile()


def parse_config(data: bytes, path: str) -> ConfigFile:
    """What the file at `path` says. Raises ConfigError with all of its faults.

    Does not check whether these plugins, options and services exist.
    """
    try:
        entries = read_document(
            data,
            size_max_bytes=SIZE_MAX_BYTES,
            levels=_LEVELS,
            lists=("access",),
            hides_values=True,
        )
    except DocumentError as exc:
        place = f"{path}:{exc.line}" if exc.line else path
        raise ConfigError([f"{place}: {exc}"]) from None
    reader = _Reader(path)
    config = reader.config(entries)
    if reader.faults:
        raise ConfigError(reader.faults)
    return config


class _Reader:
    """Turns entries into values, and collects their faults in the order of the file."""

    def __init__(self, path: str) -> None:
        self.faults: list[str] = []
        self._path = path

    def config(self, entries: Mapping[str, "Entry"]) -> ConfigFile:
        plugins: Mapping[str, PluginConfig] = {}
        apps = NO_FLOORS
        access: tuple[Rule, ...] = ()
        for name, entry in self._known(entries, _ROOT, ""):
            if name == "plugins":
                plugins = self.plugins(entry)
            elif name == "apps":
                apps = self.apps(entry)
            else:
                access = self.access(entry)
        return ConfigFile(self._path, MappingProxyType(plugins), apps, access)

    def plugins(self, entry: "Entry") -> dict[str, PluginConfig]:
        given = self._mapping(entry, "plugins")
        if len(given) > _PLUGINS_MAX:
            self._fault(entry, "plugins", f"{len(given)} plugins are too many")
            return {}
        return {each: self._plugin(each, value) for each, value in given.items()}

    def apps(self, entry: "Entry") -> Floors:
        given = self._mapping(entry, "apps")
        if len(given) > _ROWS_MAX:
            self._fault(entry, "apps", f"{len(given)} rows are too many")
            return NO_FLOORS
        return Floors(tuple(self._row(glob, each) for glob, each in given.items()))

    def access(self, entry: "Entry") -> tuple[Rule, ...]:
        given = entry.value
        if given is None:
            return ()
        if not isinstance(given, list):
            self._fault(entry, "access", "this is not a list of rules")
            return ()
        if len(given) > RULES_MAX:
            self._fault(entry, "access", f"{len(given)} rules are too many")
            return ()
        rules = []
        for each in given:
            try:
                rules.append(parse_rule(each.value, self._place(each)))
            except BadValue as exc:
                self._fault(each, "access", str(exc))
        return tuple(rules)

    def _row(self, glob: str, entry: "Entry") -> Row:
        where = f"apps.{glob}"
        try:
            check_glob(glob)
        except BadValue as exc:
            self._fault(entry, "apps", f"{shown(glob)} is not an app: {exc}")
            return Row(glob, {})
        words: dict[str, Word] = {}
        for name, each in self._known(self._mapping(entry, where), tuple(ROW_KEYS), where):
            try:
                words[name] = parse_word(name, _plain(each.value), self._place(each))
            except BadValue as exc:
                # An error about a variable might show its value, a password.
                why = "write a mapping of names to texts" if name == "env" else str(exc)
                self._fault(each, f"{where}.{name}", why)
        kept = withheld(words["env"].value) if "env" in words else ()
        if kept:
            self._fault(
                entry,
                f"{where}.env",
                f"{', '.join(kept)}: this looks like credentials, which no app gets in this "
                "way; name it in secrets, and set its value with `buntime secrets set`",
            )
        return Row(glob, MappingProxyType(words))

    def _plugin(self, name: str, entry: "Entry") -> PluginConfig:
        where = f"plugins.{name}"
        if not is_app_name(name):
            self._fault(entry, "plugins", f"{shown(name)} is not the name of a plugin")
            return _NOTHING
        parts: dict[str, object] = {}
        for key, part in self._known(self._mapping(entry, where), _OF_A_PLUGIN, where):
            read = getattr(self, f"_{key}")
            parts[key] = read(part, f"{where}.{key}")
        return PluginConfig(self._place(entry), **parts)  # type: ignore[arg-type]  # by their names

    def _enabled(self, entry: "Entry", where: str) -> Stated | None:
        try:
            return Stated(yes_or_no(entry.value), self._place(entry))
        except BadValue as exc:
            self._fault(entry, where, str(exc))
            return None

    def _frame(self, entry: "Entry", where: str) -> Frame | None:
        try:
            word = one_of("sandboxed", "trusted")(entry.value)
            return Frame(word == "trusted", self._place(entry))
        except BadValue as exc:
            self._fault(entry, where, str(exc))
            return None

    def _options(self, entry: "Entry", where: str) -> dict[str, Given]:
        return {
            name: Given(each.value, self._place(each))
            for name, each in self._mapping(entry, where).items()
        }

    def _grants(self, entry: "Entry", where: str) -> dict[str, Grant]:
        found = {}
        for name, each in self._mapping(entry, where).items():
            try:
                [opening] = parse_grants({name: each.value}).values()
            except BadValue as exc:
                self._fault(each, where, str(exc))
            else:
                found[name] = Grant(opening, self._place(each))
        return found

    # Faults

    def _known(
        self, entries: Mapping[str, "Entry"], known: tuple[str, ...], where: str
    ) -> Iterator[tuple[str, "Entry"]]:
        for name, entry in entries.items():
            if name in known:
                yield name, entry
            elif not where and name in _LATER:
                self._fault(entry, name, "this version has no such key yet; remove it")
            else:
                self._fault(entry, where, unknown_key(name, known))

    def _mapping(self, entry: "Entry", where: str) -> dict[str, "Entry"]:
        """The entries behind a key; none where it has no value."""
        if isinstance(entry.value, dict):
            return entry.value
        if entry.value is not None:  # which may be a misplaced password
            self._fault(entry, where, "this is not a mapping of keys to values")
        return {}

    def _fault(self, entry: "Entry", where: str, problem: str) -> None:
        words = f"{where}: {problem}" if where else problem
        self.faults.append(f"{self._place(entry)}: {words}")

    def _place(self, entry: "Entry") -> str:
        return f"{self._path}:{entry.line}"


def _plain(value: object) -> object:
    """A value without the line numbers of what is in it."""
    if not isinstance(value, dict):
        return value
    return {name: each.value for name, each in value.items()}
