"""The table of a plugin's manifest keys, beyond those that it shares with apps.

The parser, the docs and the test of the docs use it.
"""

from collections.abc import Iterable

from buntime.core.apps.key import Key
from buntime.core.apps.manifestkeys import KEYS
from buntime.core.apps.manifestvalues import file_below, routes
from buntime.core.apps.router import RESERVED, is_app_name
from buntime.core.apps.versions import LATEST, is_version
from buntime.core.http1.grammar import TOKEN
from buntime.core.plugins.dependencies import dump_dependencies, parse_dependencies, parse_name
from buntime.core.plugins.match import Match, parse_match
from buntime.core.plugins.menus import Menu, parse_menus, parse_order
from buntime.core.plugins.offers import dump_provides, parse_provides
from buntime.core.plugins.schema import dump_schema, parse_schema
from buntime.core.values.kinds import duration, one_of, yes_or_no
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

STAGES = ("route", "identity", "access", "content")  # in the order in which a request passes them
GUARDING = frozenset(("identity", "access"))  # while they do not serve, what they cover is closed
DEFAULT_ENTRY = "plugin.py"

# The keys shared with apps; a plugin's pages may be for operators only.
APP_KEYS = tuple(
    key._replace(parse=one_of("public", "protected", "internal", "operators"))
    if key.name == "visibility"
    else key
    for key in KEYS
)

_COOKIE = regex(TOKEN)
_COOKIES_MAX = 50


def _version(value: object) -> str:
    if not isinstance(value, str) or value == LATEST or not is_version(value):
        raise BadValue(f"{shown(value)} is not a version; write three numbers like 1.2.0")
    return value


def _base(value: object) -> str:
    segment = value[1:] if isinstance(value, str) and value[:1] == "/" else ""
    if not is_app_name(segment) or "/" in segment:
        raise BadValue(f"{shown(value)} is not a base; write one segment like /audit")
    if segment.lower() in RESERVED:
        raise BadValue(f"{shown(value)} is the runtime's own path; choose another one")
    return "/" + segment


def _entry(value: object) -> str:
    path = file_below(value)
    if not path.lower().endswith(".py"):
        raise BadValue(f"{shown(value)} is not Python; write a file like {DEFAULT_ENTRY}")
    return path


def _patterns(value: object) -> tuple[str, ...]:
    if isinstance(value, dict):
        raise BadValue('a mapping is not a list; write one like ["/api/**"]')
    return tuple(pattern for _, pattern in routes(value))


def _cookies(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadValue(f"{shown(value)} is not a list; write one like [session]")
    if len(value) > _COOKIES_MAX:
        raise BadValue(f"{len(value)} cookies are too many; write {_COOKIES_MAX} at most")
    for name in value:
        if not isinstance(name, str) or not _COOKIE.fullmatch(name):
            raise BadValue(f"{shown(name)} is not the name of a cookie")
    return tuple(dict.fromkeys(value))


def _dump_menus(menus: Iterable[Menu]) -> list[dict[str, object]]:
    return [menu.dump() for menu in menus]


PLUGIN_KEYS = (
    Key("name", "name", "name", parse_name, None, "what others call it; unique", "required",
        is_verbatim=True),
    Key("version", "version", "version", _version, "0.0.0", "a semantic version",
        is_verbatim=True),
    Key("enabled", "enabled", "boolean", yes_or_no, True,
        "the config file overrides it, and an operator overrides both", "true"),
    Key("base", "base", "path", _base, None,
        "where its pages and routes are: one segment that is not reserved", "none"),
    Key("pluginEntry", "plugin_entry", "path", _entry, None,
        "Python file with its hooks, services, and code under `base`", f"`{DEFAULT_ENTRY}`"),
    Key("routes", "routes", "list", _patterns, [],
        "patterns below `base` that go to code; all else goes to the page that `entrypoint` names",
        "all, if there is no page", dump=list),
    Key("dependencies", "dependencies", "list of names, or ranges by name", parse_dependencies, [],
        "plugins that must have been started before it", "none",
        dump=dump_dependencies, is_verbatim=True),
    Key("optionalDependencies", "optional_dependencies", "list of names, or ranges by name",
        parse_dependencies, [], "plugins that are started before it if they exist", "none",
        dump=dump_dependencies, is_verbatim=True),
    Key("provides", "provides", "mapping", parse_provides, {},
        "services that it offers, and to whom: `{kv: {to: all}}`", "none", dump=dump_provides),
    Key("match", "match", "mapping", parse_match, {},
        "which requests its hooks are called for: `apps`, `paths`, `methods`, `hosts`, `public`, "
        "`auth` (only apps for which it matters who has signed in); "
        "with `workers: all` it also gets notices about workers of `ttl: 0`",
        "all requests", dump=Match.dump),
    Key("stage", "stage", "word", one_of(*STAGES), "content",
        "when its request hooks are called: route, identity, access or content"),
    Key("order", "order", "number", parse_order, 0,
        "its place within the stage, lowest first; then by name"),
    Key("hookTimeout", "hook_timeout_s", "duration", duration(), "1s",
        "how long a hook may take"),
    Key("onError", "on_error", "word", one_of("refuse", "ignore"), "refuse",
        "what happens to a request whose hook fails; identity and access can only refuse"),
    Key("body", "body", "boolean", yes_or_no, False,
        "its request hooks get the body, up to 1 MiB", "false"),
    Key("menus", "menus", "list", parse_menus, [],
        "entries in the shell's menu: `title`, `path`, `icon`, `order`, `items`", "none",
        dump=_dump_menus),
    Key("frame", "frame", "word", one_of("sandboxed", "trusted"), "sandboxed",
        "trusted: asks that its pages run without a sandbox when opened by themselves at the "
        "operators' address; `plugins.NAME.frame` in the config file grants it"),
    Key("start", "start", "word", one_of("eager", "lazy"), None,
        "eager: with the runtime; lazy: at the first call or page, or when an app or plugin that "
        "`uses` it starts",
        "eager"),
    Key("overlap", "overlap", "boolean", yes_or_no, True,
        "false: the old process ends before the new one starts", "true"),
    Key("signIn", "sign_in", "boolean", yes_or_no, False,
        "its code answers at `/.well-known/buntime/auth/` of each host, beside all hooks: "
        "see [access.md](access.md)", "false"),
    Key("cookies", "cookies", "list of names", _cookies, [],
        "its own cookies, which nobody else sees", "none", dump=list),
    Key("config", "config", "mapping", parse_schema, {},
        "its options: `type`, `label`, `description`, `default`, `required`, `min`, `max`, "
        "`options`, `env` of each", "none", dump=dump_schema),
)  # fmt: skip

ALL_KEYS = APP_KEYS + PLUGIN_KEYS
