"""Values of the runtime's settings: `settings.poolSize` is RUNTIME_POOL_SIZE.

It has all rows of the settings table, except those that the chart decides and those that are
secrets. A value of "" leaves the setting to the runtime.
"""

import re

from artifacts.chart.rows import (
    KEY_IN_SECRET,
    NAME,
    Question,
    Row,
    Schema,
    Section,
    or_empty,
)
from buntime.core.settings.setting import Setting
from buntime.core.settings.settingtable import GROUPS

# The values by which the chart decides these; see templates/_environment.tpl.
DECIDED = {
    "RUNTIME_CONFIG": "config, configFrom, plugins",
    "RUNTIME_ENV_FILE": "settings: a pod has no file .env",
    "RUNTIME_KEYS_FILE": "keys, keysFrom",
    "RUNTIME_LISTEN": "settings.host, settings.port",
    "RUNTIME_MASTER_KEY": "masterKey",
    "RUNTIME_MASTER_KEY_FILE": "masterKey",
    "RUNTIME_PLUGIN_DIRS": "state.enabled",
    "RUNTIME_SECRETS_DIR": "secrets, secretsFrom",
    "RUNTIME_STATE": "state.enabled",
    "RUNTIME_STATE_DIR": "state.enabled",
    "RUNTIME_WORKER_DIRS": "apps.path",
}
# Defaults that differ from the runtime's, for a container with a memory limit.
DEFAULTS: dict[str, object] = {"HOST": "0.0.0.0", "PORT": 8000, "RUNTIME_POOL_SIZE": 50}
_ASKED = {
    "RUNTIME_POOL_SIZE": "Most workers",
    "RUNTIME_DEFAULT_APP": "App that answers /",
    "RUNTIME_TRUSTED_PROXIES": "Trusted proxies",
    "RUNTIME_LOG_LEVEL": "Least level that is logged",
    "RUNTIME_METRICS": "Who may read /metrics",
    "RUNTIME_SHUTDOWN_TIMEOUT": "How long requests may take to end when a pod stops",
}
_DURATION = r"^([0-9]{1,15}(\.[0-9]{1,9})?\s*(ms|[smhdwSMHDW])?)?$"
_SIZE = r"^([0-9]{1,15}(\.[0-9]{1,9})?\s*([kmgKMG]?[bB])?)?$"
# For these the chart has a stricter schema than text.
_SPECIAL: dict[str, Schema] = {
    # A probe and a Service need an address and a port.
    "HOST": {"type": "string", "pattern": r"^[0-9A-Fa-f:.]*$"},
    "PORT": {"type": "integer", "minimum": 1024, "maximum": 65535},
    "RUNTIME_API_PREFIX": {"type": "string", "pattern": r"^((/[A-Za-z0-9._~-]+)+/?)?$"},
    # A file is lost with its container, unless it is on a volume.
    "OTEL_TRACES_SAMPLER_ARG": {"type": ["string", "number"]},
}


def setting_sections() -> tuple[Section, ...]:
    """A section for each group of settings."""
    return tuple(
        Section(
            f"Settings: {title}",
            tuple(_row(setting) for setting in group if is_value(setting)),
        )
        for title, group in GROUPS
    )


def secret_section() -> Section:
    """Settings that are secrets: the Secret that has them, because a value would be in plain
    sight."""
    schema = or_empty(NAME)
    rows = []
    for _, group in GROUPS:
        for setting in group:
            if setting.secret and setting.variable not in DECIDED:
                path = f"secretSettings.{value_name(setting)}"
                rows += [
                    Row(
                        f"{path}.secret",
                        "",
                        schema,
                        f"Secret with {setting.variable}: {setting.meaning}",
                    ),
                    Row(f"{path}.key", "value", KEY_IN_SECRET, "its key there"),
                ]
    return Section("Settings that are secrets", tuple(rows))


def value_name(setting: Setting) -> str:
    """`--pool-size` -> "poolSize"; by its variable if it has no flag."""
    flag = setting.flag or setting.variable.lower().replace("_", "-")
    first, *others = flag.strip("-").split("-")
    return first + "".join(word.capitalize() for word in others)


def is_value(setting: Setting) -> bool:
    return setting.variable not in DECIDED and not setting.secret


def _row(setting: Setting) -> Row:
    default = DEFAULTS.get(setting.variable, "")
    said = "" if setting.variable in DEFAULTS else f"; default: {setting.default}"
    label = _ASKED.get(setting.variable)
    return Row(
        f"settings.{value_name(setting)}",
        default,
        _schema(setting),
        f"{setting.variable}: {setting.meaning}{said}",
        Question(label) if label else None,
    )


def _schema(setting: Setting) -> Schema:
    kind = setting.kind
    if special := _SPECIAL.get(setting.variable):
        return special
    if kind.word == "NUMBER":
        bounds = {"minimum": kind.least} | ({} if kind.most is None else {"maximum": kind.most})
        return or_empty({"type": "integer", **bounds})
    if kind.word in ("DURATION", "SIZE"):
        pattern = _DURATION if kind.word == "DURATION" else _SIZE
        return {"anyOf": [{"type": "string", "pattern": pattern}, {"type": "number", "minimum": 0}]}
    if re.fullmatch(r"[a-z/_]+(\|[a-z/_]+)+", kind.word):
        return {"type": "string", "enum": ["", *kind.word.split("|")]}
    return {"type": "string"}
