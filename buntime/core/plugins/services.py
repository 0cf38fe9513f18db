"""Which plugin offers which service, who may call it, and how many calls each caller has under way.

A call needs two permissions: the caller's manifest must name the service under `uses`, and the
provider must open it, by `to` in its manifest. What the operator writes under `plugins.NAME.grants`
replaces that. A caller is identified by the channel that it calls on, never by what it says:

    app:shop  app:@acme/shop      in all versions
    app:shop~pr-12                a preview, which is a caller of its own
    plugin:audit
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.apps.manifestvalues import SERVICE_NAME
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.match import glob
from buntime.core.plugins.offers import Opening
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown, suggestion

APP_PREFIX = "app:"
CALLS_MAX = 64  # under way per caller
DEADLINE_S = 5.0  # for callers that set none

# Codes of errors, as callers get them.
UNKNOWN: Final = "unknown"  # no such service or method
NO_GRANT: Final = "no grant"  # one of the two sides does not permit it
LATE: Final = "late"  # no result by the deadline
AWAY: Final = "away"  # its plugin does not serve now
BUSY: Final = "busy"  # this caller has too many calls under way
MOVED: Final = "moved"  # a stream of a plugin that was reloaded
FORKED: Final = "forked"  # a child process of a worker has no channel of its own; said by workers

_TIMEOUT_MAX_S = 3600.0  # a caller that waits longer has forgotten about it
_METHOD = regex(r"[A-Za-z][A-Za-z0-9_]{0,127}")


class ServiceFault(Exception):
    """A call that was refused or has failed: the error that the caller gets."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def dump(self) -> dict[str, str]:
        """The form in a RESULT or ITEM."""
        return {"code": self.code, "message": self.message}


class Provider(NamedTuple):
    """One service: which plugin offers it, and who may call it. `opening` is what manifest or
    operator say."""

    service: str
    plugin: str
    opening: Opening
    allowed: re.Pattern[str] | None  # None: all

    def is_open_to(self, caller: str) -> bool:
        return self.allowed is None or self.allowed.fullmatch(caller) is not None


class Call(NamedTuple):
    """The request in a worker's CALL, checked; its arguments are for the provider to judge."""

    service: str
    method: str
    timeout_s: float


class Services:
    """The services of the enabled plugins. Immutable."""

    def __init__(
        self,
        manifests: Iterable[PluginManifest] = (),
        grants: Mapping[str, Mapping[str, Opening]] | None = None,
    ) -> None:
        """`manifests` are of the plugins that were not left out, so each service appears once.

        `grants` are the operator's, by plugin and service.
        """
        self.providers: dict[str, Provider] = {}
        for manifest in manifests:
            own = (grants or {}).get(manifest.name, {})
            for service, to in manifest.provides:
                self.providers.setdefault(
                    service, _provider(service, manifest.name, own.get(service, to))
                )

    def __repr__(self) -> str:
        return (
            f"Services({', '.join(f'{p.service} of {p.plugin}' for p in self.providers.values())})"
        )

    def provider_for(self, caller: str, uses: Collection[str], service: str) -> Provider:
        """The provider of a service, if the call is allowed. `uses` comes from the caller's
        manifest.

        Raises ServiceFault.
        """
        if service not in uses:
            raise ServiceFault(NO_GRANT, f"the manifest does not name {service} under uses")
        provider = self.providers.get(service)
        if provider is None:
            meant = suggestion(service, self.providers)
            raise ServiceFault(UNKNOWN, f"no plugin offers the service {service}{meant}")
        if not provider.is_open_to(caller):
            raise ServiceFault(NO_GRANT, f"{provider.plugin} does not open {service} to {caller}")
        return provider

    def of(self, plugin: str) -> frozenset[str]:
        """The services that a plugin offers."""
        return frozenset(p.service for p in self.providers.values() if p.plugin == plugin)


def lacking(needed: Iterable[str], offered: Collection[str]) -> list[str]:
    """The services that running dependents use and a new generation's code no longer offers."""
    return sorted(set(needed).difference(offered))


def caller_of_app(name: str) -> str:
    """The name of an app as a caller: "shop~pr-12" -> "app:shop~pr-12"."""
    return APP_PREFIX + name


def caller_of_plugin(name: str) -> str:
    """The name of a plugin as a caller: "audit" -> "plugin:audit"."""
    return PLUGIN_PREFIX + name


def read_call(message: Mapping[str, Any]) -> Call:
    """Read a CALL. Raises ServiceFault, because the caller's code may have got it wrong."""
    service, method = message.get("service"), message.get("method")
    if not isinstance(service, str) or not SERVICE_NAME.fullmatch(service):
        raise ServiceFault(UNKNOWN, f"{shown(service)} is not the name of a service")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise ServiceFault(UNKNOWN, f"{service} has no method {shown(method)}")
    timeout_ms = message.get("timeout_ms")
    is_number = isinstance(timeout_ms, int | float) and not isinstance(timeout_ms, bool)
    if timeout_ms is None or not is_number or not timeout_ms > 0:
        return Call(service, method, DEADLINE_S)
    return Call(service, method, min(timeout_ms, _TIMEOUT_MAX_S * 1000) / 1000)


class CallBudget:
    """How many calls each caller has under way, in all of its processes."""

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        self._calls_max = calls_max
        self._under_way: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"CallBudget({self._under_way!r})"

    def begin(self, caller: str) -> None:
        """Count one more; each must be ended once. Raises ServiceFault where there are too many."""
        count = self._under_way.get(caller, 0)
        if count >= self._calls_max:
            raise ServiceFault(BUSY, f"{count} calls of {caller} are under way")
        self._under_way[caller] = count + 1

    def end(self, caller: str) -> None:
        """Count one less."""
        count = self._under_way[caller] - 1
        if count:
            self._under_way[caller] = count
        else:
            del self._under_way[caller]

    def count(self, caller: str) -> int:
        return self._under_way.get(caller, 0)


def _provider(service: str, plugin: str, opening: Opening) -> Provider:
    return Provider(service, plugin, opening, None if opening == "all" else glob(opening))
