"""Secrets of apps: which ones an app asks for, and what their names and values may be.

    secrets: [DATABASE_URL, STRIPE_KEY]           in os.environ, and by `buntime.secret()`
    secrets: {STRIPE_KEY: {env: false}}           by `buntime.secret()` only

The manifest names secrets, an operator sets their values. The *holder* of a value is an app with
all of its versions; an app's previews, which get none of the app's own values; or a plugin.

    shop  @acme/shop  shop@preview  plugin:audit      as people write it
    shop  @acme+shop  shop@preview  plugin+audit      as a folder
"""

from collections.abc import Mapping
from types import MappingProxyType

from buntime.core.apps.environment import INHERITED_NAMES, INHERITED_PREFIX, RUNTIME_NAMES
from buntime.core.apps.router import is_app_name
from buntime.core.values.kinds import yes_or_no
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue, format_size
from buntime.core.values.wording import shown

NAMES_MAX = 100  # per app
NAME_MAX_CHARS = 100
VALUE_MAX_BYTES = 64 * 1024
# Per app. They go into one line of the channel, where JSON may turn one byte into six.
VALUES_MAX_BYTES = 128 * 1024

PREVIEW = "@preview"
PREVIEW_VERSION = "0.0.0-preview."  # how the version of a preview begins

_NAME = regex(r"[A-Z0-9_]+")
_SET_BY_US = frozenset(
    (*RUNTIME_NAMES, *INHERITED_NAMES, "APP_BASE", "NODE_ENV", "TMPDIR", "MALLOC_ARENA_MAX")
)
_NEVER = ("LD_", "DYLD_", "PYTHON", INHERITED_PREFIX)
_OF_PLUGINS = "plugin:"


def parse_name(value: object) -> str:
    """The name of a secret. Raises BadValue."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > NAME_MAX_CHARS:
        raise BadValue(
            f"{shown(value)} is not the name of a secret; use capital letters, digits and "
            f"underscores, {NAME_MAX_CHARS} at most"
        )
    if value in _SET_BY_US or value.startswith(_NEVER):
        raise BadValue(
            f"{value} cannot be a secret: the runtime or the system reads it; choose another name"
        )
    return value


def parse_grants(value: object) -> Mapping[str, bool]:
    """`["A"]` -> {"A": True}, `{"A": None, "B": {"env": False}}` -> {"A": True, "B": False}.

    True means that it is in the environment too. Raises BadValue.
    """
    if isinstance(value, list):
        found = dict.fromkeys(map(parse_name, value), True)
    elif isinstance(value, dict):
        found = {parse_name(name): _in_environment(name, how) for name, how in value.items()}
    else:
        raise BadValue(f"{shown(value)} is not a list; write one like [DATABASE_URL, STRIPE_KEY]")
    if len(found) > NAMES_MAX:
        raise BadValue(f"{len(found)} secrets are too many; name {NAMES_MAX} at most")
    return MappingProxyType(found)


def dump_grants(grants: Mapping[str, bool]) -> dict[str, object]:
    """The names of the secrets and how each is passed, for JSON."""
    return {
        name: {} if in_environment else {"env": False} for name, in_environment in grants.items()
    }


def _in_environment(name: str, how: object) -> bool:
    given = {} if how is None else how
    if not isinstance(given, dict) or not given.keys() <= {"env"}:
        raise BadValue(f"{name}: {shown(how)} is not allowed; write nothing, or {{env: false}}")
    try:
        return yes_or_no(given.get("env", True))
    except BadValue as exc:
        raise BadValue(f"{name}: env: {exc}") from None


def parse_value(data: bytes) -> str:
    """The value of a secret from a file or a client, without one trailing line end.

    Raises BadValue, which shows nothing of the value.
    """
    if len(data) > VALUE_MAX_BYTES:
        raise BadValue(f"the value is longer than {format_size(VALUE_MAX_BYTES)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadValue("the value is not UTF-8; write bytes in base64") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise BadValue("the value is empty")
    if "\0" in text:
        raise BadValue("the value has a NUL character, which no environment can have")
    return text


def parse_holder(text: str) -> str:
    """The holder of a secret, as an operator writes it. Raises BadValue."""
    is_plugin = text.startswith(_OF_PLUGINS)
    name = text.removeprefix(_OF_PLUGINS) if is_plugin else text.removesuffix(PREVIEW)
    if not is_app_name(name):
        raise BadValue(
            f"{shown(text)} is neither an app nor a plugin; write an app like shop or @acme/shop, "
            "shop@preview for its previews, or plugin:audit"
        )
    return text


def holder_of(name: str, version: str | None) -> str:
    """`("shop", "1.2.0")` -> "shop", `("shop", "0.0.0-preview.pr-12")` -> "shop@preview"."""
    return name + PREVIEW if (version or "").startswith(PREVIEW_VERSION) else name


def data_holder_of(name: str, version: str | None) -> str:
    """The holder of its data folder: `"shop"`; each preview has its own,
    "shop@0.0.0-preview.pr-12"."""
    is_own = (version or "").startswith(PREVIEW_VERSION)
    return f"{name}@{version}" if is_own else name


def folder_of(holder: str) -> str:
    """`"@acme/shop"` -> "@acme+shop", `"plugin:audit"` -> "plugin+audit"."""
    return holder.replace(":", "+").replace("/", "+")


def holder_in(folder: str) -> str | None:
    """The reverse of `folder_of`; None where no holder has such a folder."""
    name = folder.removeprefix(folder_of(_OF_PLUGINS))
    kind = "" if name == folder else _OF_PLUGINS
    try:
        holder = parse_holder(kind + name.replace("+", "/", 1))
    except BadValue:
        return None
    return holder if folder_of(holder) == folder else None


def command_to_set(holder: str, name: str) -> str:
    """The command that an operator types: "buntime secrets set shop DATABASE_URL"."""
    return f"buntime secrets set {holder} {name}"
