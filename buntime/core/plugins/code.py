"""What a plugin's code offers, from its worker's READY: hooks, and services with methods.

Nothing in it is trusted: anything that a worker would not say is a ValueError with a short text.
"""

from collections.abc import Mapping
from typing import Any

from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.plan import ON_REQUEST, ON_RESPONSE
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

ON_SERVER_START = "on_server_start"
ON_SHUTDOWN = "on_shutdown"
NOTICES = ("on_worker_spawn", "on_worker_terminate", "on_apps_changed", "on_plugins_changed")
HOOKS = frozenset((ON_REQUEST, ON_RESPONSE, "on_init", ON_SERVER_START, ON_SHUTDOWN, *NOTICES))

_SERVICES_MAX = 100
_METHODS_MAX = 1000  # per service
_NAME_MAX_CHARS = 200


class Code(NamedTuple):
    """What one generation of a plugin offers."""

    hooks: frozenset[str] = frozenset()
    services: Mapping[str, frozenset[str]] = {}  # methods by service


NO_CODE = Code()


def read_code(message: Mapping[str, Any]) -> Code:
    """Read a READY. Raises ValueError."""
    hooks, services = message.get("hooks"), message.get("services")
    if type(hooks) is not list or not all(type(name) is str and name in HOOKS for name in hooks):
        raise ValueError(f"hooks of a plugin that are {shown(hooks)} of unknown names")
    if type(services) is not dict or len(services) > _SERVICES_MAX:
        raise ValueError(f"services of a plugin that are {shown(services)}, or too many")
    return Code(
        frozenset(hooks),
        {_name(service): _methods(methods) for service, methods in services.items()},
    )


def what_is_missing(code: Code, manifest: PluginManifest) -> str:
    """What the manifest promises and the code lacks, in words; "" for nothing."""
    for service, _ in manifest.provides:
        if service not in code.services:
            return f"its manifest provides {service}, which is not among the services of its code"
    return ""


def _methods(value: object) -> frozenset[str]:
    if type(value) is not list or not 0 < len(value) <= _METHODS_MAX:
        raise ValueError(f"methods of a service that are {shown(value)}, none or too many")
    return frozenset(map(_name, value))


def _name(value: object) -> str:
    if type(value) is not str or not 0 < len(value) <= _NAME_MAX_CHARS:
        raise ValueError(f"{shown(value)} where a name should be")
    return value
