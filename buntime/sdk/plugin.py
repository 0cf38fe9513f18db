"""The plugin's own side of the runtime: its options, its log, and services.

from buntime.plugin import plugin, exposed

class Store:
    @exposed
    def get(self, key): ...

services = {"kv": Store()}
"""

from __future__ import annotations

from buntime.sdk.pluginlog import Log
from buntime.sdk.services import CALLER, WAITER, async_service, link, service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from buntime.sdk.services import AsyncService, Service

    F = TypeVar("F")

# Marks functions that others may call.
MARK = "_buntime_exposed"


class Runtime:
    """The runtime of this plugin: its version, the version of its interface, and the
    environment."""

    __slots__ = ("api", "environment", "version")

    def __init__(self, version: str = "", api: int = 1, environment: str = "development") -> None:
        self.version = version
        self.api = api
        self.environment = environment

    def __repr__(self) -> str:
        return f"<buntime {self.version}, api {self.api}, {self.environment}>"


class Plugin:
    """This plugin. Outside of a runtime, as in its tests, it has no options and no name."""

    def __init__(self) -> None:
        self.name = ""
        self.config: dict[str, Any] = {}
        self.runtime = Runtime()
        self.log = Log()

    @property
    def caller(self) -> str | None:
        """The caller of the method that runs now: `app:shop`, `plugin:audit`; None elsewhere."""
        return CALLER.get()

    def is_cancelled(self) -> bool:
        """Return whether nobody waits any more for the method that runs now, or for its stream."""
        waiter = WAITER.get()
        return waiter is not None and waiter.is_cancelled()

    def service(self, name: str, timeout_s: float | None = None) -> Service:
        """A service of another plugin, whose methods block."""
        return service(name, timeout_s)

    def async_service(self, name: str, timeout_s: float | None = None) -> AsyncService:
        """A service of another plugin, whose methods are awaited."""
        return async_service(name, timeout_s)

    def forget(self, tag: str) -> None:
        """Drop the kept verdicts with this tag, and end open streams that they have let in."""
        if not isinstance(tag, str):
            raise TypeError(f"a tag is text, not {tag!r}")
        link().forget(tag)

    def __repr__(self) -> str:
        return f"<plugin {self.name or 'without a runtime'}>"


plugin = Plugin()


def exposed(function: F) -> F:
    """Let others call this method of a service."""
    inner = getattr(function, "__func__", function)  # for a staticmethod or classmethod
    setattr(inner, MARK, True)
    return function
